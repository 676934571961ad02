package domain

import (
	"math"
	"slices"
)

// curve is the area under the ROC curve of two groups of scores.
type curve struct {
	auc float64 // ties count half (Mann–Whitney)
	// null is the variance of auc when all scores have one distribution:
	// (n+m+1)/(12nm), less what ties take off (Lehmann 1975, §1.4).
	null float64
	// own is the variance of auc whatever the distributions are, from the
	// placements of each score in the other group (DeLong et al. 1988).
	own float64
	// flat is null without ties: what the groups' sizes are worth.
	flat float64
}

type scored struct {
	score float64
	one   bool
}

// newCurve compares the scores of group 1 with those of group 0. Scores are
// finite. All is NaN when a group is empty. It reorders s.
func newCurve(s []scored) curve {
	slices.SortFunc(s, func(a, b scored) int {
		switch {
		case a.score < b.score:
			return -1
		case a.score > b.score:
			return 1
		}
		return 0
	})
	ones := 0
	for _, v := range s {
		if v.one {
			ones++
		}
	}
	n, m := float64(len(s)-ones), float64(ones)
	if n == 0 || m == 0 {
		nan := math.NaN()
		return curve{nan, nan, nan, nan}
	}
	// A score of group 1 is placed at the share of group 0 below it, one of
	// group 0 at the share of group 1 above it.
	var sum1, square1, square0, ties float64
	below0, below1 := 0.0, 0.0
	for lo := 0; lo < len(s); {
		hi, here1 := lo, 0.0
		for hi < len(s) && s[hi].score == s[lo].score {
			if s[hi].one {
				here1++
			}
			hi++
		}
		here := float64(hi - lo)
		here0 := here - here1
		v1 := (below0 + here0/2) / n
		v0 := (m - below1 - here1/2) / m
		sum1 += here1 * v1
		square1 += here1 * v1 * v1
		square0 += here0 * v0 * v0
		ties += here * here * here / (n + m)
		below0 += here0
		below1 += here1
		lo = hi
	}
	c := curve{auc: sum1 / m}
	total := n + m
	c.flat = (total + 1) / (12 * n * m)
	if total > 1 {
		// N + 1 − Σ(t³−t)/(N(N−1)), t being the sizes of the ties
		c.null = max(0, (total*total-ties)/(total-1)) / (12 * n * m)
	}
	c.own = variance(square1, c.auc, m)/m + variance(square0, c.auc, n)/n
	return c
}

// variance of k values of the given mean and sum of squares.
func variance(squares, mean, k float64) float64 {
	if k < 2 {
		return 0
	}
	return max(0, squares-k*mean*mean) / (k - 1)
}
