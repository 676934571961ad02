// Package present is how reports and incidents are shown to people: numbers in
// words, drawings and the style of pages that need nothing else, and lines for a
// terminal. It knows nothing of what it shows. Names and texts may come from
// data: what is shown of them can neither break a page nor command a terminal.
package present

import _ "embed"

// Style is the style sheet of every page.
//
//go:embed page.css
var Style string
