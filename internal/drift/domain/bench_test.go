package domain

import (
	"context"
	"fmt"
	"testing"
)

func BenchmarkClassify(b *testing.B) {
	for _, size := range [][2]int{{8000, 3000}, {100000, 131000}, {100000, 10000}} {
		ref, cur := series{rows: size[0] + size[1], effect: .3, ar: .5}.pair(1, size[0], true)
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			for b.Loop() {
				if _, err := Classify(context.Background(), ref, cur, Options{Threads: 2}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDependence(b *testing.B) {
	for _, size := range [][2]int{{30000, 30000}, {100000, 131000}} {
		ref, cur := series{rows: size[0] + size[1], effect: .3, ar: .5}.pair(1, size[0], true)
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			for b.Loop() {
				if _, err := Dependence(context.Background(), ref, cur, Options{Threads: 2}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
