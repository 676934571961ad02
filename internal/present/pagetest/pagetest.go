// Package pagetest holds pages against what every page promises.
package pagetest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// elements and attributes are all that a page may have: nothing that runs,
// nothing that loads.
var (
	elements = regexp.MustCompile(`^(html|head|meta|title|style|body|header|nav|main|section|article|h1|h2|h3|p|ul|ol|li|dl|dt|dd|div|span|table|caption|thead|tbody|tr|th|td|b|i|em|small|bdi|a|code|time|figure|figcaption|details|summary|svg|path|rect)$`)
	// viewbox is how the parser of tests spells what SVG calls viewBox.
	attributes = regexp.MustCompile(`^(lang|charset|http-equiv|content|name|class|id|href|style|role|tabindex|scope|aria-(label|labelledby|hidden)|viewBox|viewbox|preserveAspectRatio|preserveaspectratio|d|x|y|width|height)$`)
	void       = []string{"meta"}
)

// Check holds a page against what every page promises: nesting that a
// parser need not mend, ids that are unique and links that lead somewhere in
// the page, nothing active and nothing from elsewhere, and what a reader who
// cannot see needs.
func Check(t testing.TB, source string) {
	t.Helper()
	if strings.Contains(source, "ZgotmplZ") || strings.Contains(source, ">NaN") || regexp.MustCompile(`%![a-zA-Z]\(`).MatchString(source) {
		t.Error("the page shows what was meant for a program")
	}
	if regexp.MustCompile(`(?i)url\(|@import|<script|javascript:`).MatchString(regexp.MustCompile(`(?s)</style>.*`).ReplaceAllString(source, "")) {
		t.Error("the style needs something from elsewhere")
	}
	written := nesting(t, source)
	root, err := html.Parse(strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	ids, wanted := map[string]bool{}, []string{}
	var headings []int
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		parent := ""
		if n.Parent != nil && n.Parent.Type == html.ElementNode {
			parent = n.Parent.Data
		}
		read = append(read, parent+">"+n.Data)
		if !elements.MatchString(n.Data) {
			t.Errorf("the page has an element %s", n.Data)
		}
		a := map[string]string{}
		for _, at := range n.Attr {
			if _, twice := a[at.Key]; twice || !attributes.MatchString(at.Key) {
				t.Errorf("%s has an attribute %s", n.Data, at.Key)
			}
			a[at.Key] = at.Val
		}
		if id := a["id"]; id != "" {
			if ids[id] {
				t.Errorf("two elements are called %s", id)
			}
			ids[id] = true
		}
		if to, ok := a["href"]; ok {
			if !strings.HasPrefix(to, "#") {
				t.Errorf("a link leads to %s", to)
			}
			wanted = append(wanted, strings.TrimPrefix(to, "#"))
		}
		if by := a["aria-labelledby"]; by != "" {
			wanted = append(wanted, by)
		}
		checkElement(t, n, a)
		if len(n.Data) == 2 && n.Data[0] == 'h' && n.Data != "hr" {
			headings = append(headings, int(n.Data[1]-'0'))
		}
	}
	if !slices.Equal(read, written) {
		for i := range min(len(read), len(written)) {
			if read[i] != written[i] {
				t.Fatalf("the parser had to mend the nesting: element %d is %s, written %s", i, read[i], written[i])
			}
		}
		t.Fatalf("the parser reads %d elements of %d", len(read), len(written))
	}
	for _, id := range wanted {
		if !ids[id] {
			t.Errorf("nothing is called %s", id)
		}
	}
	checkHeadings(t, headings)
}

func checkElement(t testing.TB, n *html.Node, a map[string]string) {
	t.Helper()
	switch n.Data {
	case "svg":
		if a["aria-hidden"] == "" && (a["role"] != "img" || a["aria-label"] == "") {
			t.Error("a drawing has no words")
		}
	case "table":
		if n.FirstChild == nil || n.FirstChild.Data != "caption" {
			t.Error("a table has no caption")
		}
	case "th":
		if a["scope"] == "" {
			t.Error("a heading of a table says not of what")
		}
	case "style":
		if n.Parent.Data != "head" {
			t.Error("a second style sheet")
		}
	}
	if _, ok := a["tabindex"]; ok && n.Data != "main" && (a["role"] != "group" || a["aria-label"] == "") {
		t.Errorf("%s takes the keyboard and has no name", n.Data)
	}
	if s, ok := a["style"]; ok && !regexp.MustCompile(`^flex-grow:[0-9]+$`).MatchString(s) {
		t.Errorf("style %q", s)
	}
}

func checkHeadings(t testing.TB, levels []int) {
	t.Helper()
	last, firsts := 0, 0
	for _, l := range levels {
		if l > last+1 {
			t.Errorf("a heading of level %d follows one of %d", l, last)
		}
		if last = l; l == 1 {
			firsts++
		}
	}
	if firsts != 1 {
		t.Errorf("%d titles", firsts)
	}
}

// nesting lists each element with its parent as written, and fails where an end
// does not match its start.
func nesting(t testing.TB, source string) []string {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(source))
	var stack, out []string
	for {
		kind := z.Next()
		name, _ := z.TagName()
		tag := string(name)
		switch kind {
		case html.ErrorToken:
			if len(stack) > 0 {
				t.Errorf("not ended: %q", stack)
			}
			return out
		case html.StartTagToken, html.SelfClosingTagToken:
			parent := ""
			if len(stack) > 0 {
				parent = stack[len(stack)-1]
			}
			out = append(out, parent+">"+tag)
			if kind == html.StartTagToken && !slices.Contains(void, tag) {
				stack = append(stack, tag)
			}
		case html.EndTagToken:
			if len(stack) == 0 || stack[len(stack)-1] != tag {
				t.Fatalf("</%s> ends %q", tag, stack)
			}
			stack = stack[:len(stack)-1]
		}
	}
}

// Text is what a reader sees, the style left out.
func Text(source string) string {
	z := html.NewTokenizer(strings.NewReader(source))
	var b strings.Builder
	style := false
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return b.String()
		case html.StartTagToken, html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "style" {
				style = kind == html.StartTagToken
			}
		case html.TextToken:
			if !style {
				b.Write(z.Text())
			}
		}
	}
}
