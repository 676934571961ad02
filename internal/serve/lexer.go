package serve

import (
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest in a request, the outermost
// included. No request that is answered needs more than 2.
const maxDepth = 32

// token is the kind of a JSON value.
type token uint8

const (
	null token = iota
	boolFalse
	boolTrue
	number
	text
	object
	array
	// notNumber is NaN, Infinity or -Infinity. They are no JSON, but several
	// languages write them: the field that holds one is named in the answer
	// instead of an offset.
	notNumber
)

func (t token) String() string {
	return [...]string{"null", "a boolean", "a boolean", "a number", "a string", "an object", "an array", "not a number"}[t]
}

// syntaxError says where a body stops being JSON.
type syntaxError struct {
	offset int // bytes before the fault
	what   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.offset) }

// lexer reads JSON from b in one pass and without copying. It takes what RFC
// 8259 allows and nothing else: what encoding/json refuses is refused, and so
// are invalid UTF-8 and lone surrogates, which encoding/json replaces, because
// the log must hold what the client sent.
type lexer struct {
	b   []byte
	i   int
	tmp []byte // the last string that had escapes
	nan bool   // step over NaN and Infinity as if they were JSON
}

func (l *lexer) fail(what string) error { return &syntaxError{l.i, what} }

// expected is the error for a byte that cannot stand here.
func (l *lexer) expected(what string) error {
	if l.i >= len(l.b) {
		return l.fail("the body ends where " + what + " was expected")
	}
	return l.fail(fmt.Sprintf("found %q, expected %s", l.b[l.i], what))
}

func (l *lexer) space() {
	for l.i < len(l.b) {
		switch l.b[l.i] {
		case ' ', '\n', '\t', '\r':
			l.i++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (l *lexer) peek() byte {
	l.space()
	if l.i < len(l.b) {
		return l.b[l.i]
	}
	return 0
}

// next steps to the next member of a list that began with an opening bracket,
// and reports false after stepping over the closing one.
func (l *lexer) next(first bool, closing byte) (bool, error) {
	c := l.peek()
	switch {
	case c == closing:
		l.i++
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, l.expected(fmt.Sprintf("',' or '%c'", closing))
	}
	l.i++
	if l.peek() == closing {
		return false, l.expected("another member after ','")
	}
	return true, nil
}

// key reads the name of a member and the colon after it. The bytes are valid
// until the next string is read.
func (l *lexer) key() ([]byte, error) {
	if l.peek() != '"' {
		return nil, l.expected("a field name in double quotes")
	}
	name, err := l.str()
	if err != nil {
		return nil, err
	}
	if l.peek() != ':' {
		return nil, l.expected("':' after the field name")
	}
	l.i++
	return name, nil
}

// value reads one value. What it returns is the unescaped text of a string,
// valid until the next string is read, and the bytes as given of any other.
// Arrays and objects are checked and stepped over.
func (l *lexer) value(depth int) (token, []byte, error) {
	c := l.peek()
	start := l.i
	switch {
	case c == '"':
		s, err := l.str()
		return text, s, err
	case c >= '0' && c <= '9', c == '-' && !l.literal("-Infinity"):
		err := l.number()
		return number, l.b[start:l.i], err
	case c == '{' || c == '[':
		if depth >= maxDepth {
			return 0, nil, l.fail(fmt.Sprintf("nested deeper than %d levels", maxDepth))
		}
		kind, err := object, error(nil)
		if c == '[' {
			kind, err = array, l.skipArray(depth+1)
		} else {
			err = l.skipObject(depth + 1)
		}
		return kind, l.b[start:l.i], err
	case c == '-', l.literal("NaN"), l.literal("Infinity"):
		return notNumber, l.b[start:l.i], nil
	case l.literal("true"):
		return boolTrue, l.b[start:l.i], nil
	case l.literal("false"):
		return boolFalse, l.b[start:l.i], nil
	case l.literal("null"):
		return null, l.b[start:l.i], nil
	}
	return 0, nil, l.expected("a value")
}

func (l *lexer) literal(s string) bool {
	if len(l.b)-l.i < len(s) || string(l.b[l.i:l.i+len(s)]) != s {
		return false
	}
	l.i += len(s)
	return true
}

func (l *lexer) skipArray(depth int) error {
	l.i++
	for first := true; ; first = false {
		more, err := l.next(first, ']')
		if err != nil || !more {
			return err
		}
		if err := l.skip(depth); err != nil {
			return err
		}
	}
}

func (l *lexer) skipObject(depth int) error {
	l.i++
	for first := true; ; first = false {
		more, err := l.next(first, '}')
		if err != nil || !more {
			return err
		}
		if _, err := l.key(); err != nil {
			return err
		}
		if err := l.skip(depth); err != nil {
			return err
		}
	}
}

// skip steps over a value of no interest.
func (l *lexer) skip(depth int) error {
	kind, _, err := l.value(depth)
	if err == nil && kind == notNumber && !l.nan {
		return l.fail("NaN and Infinity are not JSON")
	}
	return err
}

// number steps over -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (l *lexer) number() error {
	if l.b[l.i] == '-' {
		l.i++
	}
	if l.at('0') {
		l.i++
	} else if !l.digits() {
		return l.expected("a digit")
	}
	if l.at('.') {
		l.i++
		if !l.digits() {
			return l.expected("a digit after the decimal point")
		}
	}
	if l.at('e') || l.at('E') {
		l.i++
		if l.at('+') || l.at('-') {
			l.i++
		}
		if !l.digits() {
			return l.expected("a digit of the exponent")
		}
	}
	return nil
}

func (l *lexer) at(c byte) bool { return l.i < len(l.b) && l.b[l.i] == c }

// digits steps over digits and reports whether there was one.
func (l *lexer) digits() bool {
	start := l.i
	for l.i < len(l.b) && l.b[l.i]-'0' <= 9 {
		l.i++
	}
	return l.i > start
}

// str reads a string that begins at the current byte.
func (l *lexer) str() ([]byte, error) {
	l.i++
	start, ascii := l.i, true
	for ; l.i < len(l.b); l.i++ {
		switch c := l.b[l.i]; {
		case c == '"':
			s := l.b[start:l.i]
			if !ascii && !utf8.Valid(s) {
				return nil, l.fail("the string that ends here is not valid UTF-8")
			}
			l.i++
			return s, nil
		case c == '\\':
			return l.escaped(start)
		case c < ' ':
			return nil, l.fail("found a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, l.expected("'\"' at the end of a string")
}

// escaped reads on in a string that began at start and has its first escape
// here.
func (l *lexer) escaped(start int) ([]byte, error) {
	l.tmp = append(l.tmp[:0], l.b[start:l.i]...)
	for l.i < len(l.b) {
		switch c := l.b[l.i]; {
		case c == '"':
			if !utf8.Valid(l.tmp) {
				return nil, l.fail("the string that ends here is not valid UTF-8")
			}
			l.i++
			return l.tmp, nil
		case c == '\\':
			if err := l.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, l.fail("found a control character in a string")
		default:
			l.tmp = append(l.tmp, c)
			l.i++
		}
	}
	return nil, l.expected("'\"' at the end of a string")
}

// escape appends what the escape at the current byte stands for.
func (l *lexer) escape() error {
	l.i++
	if l.i >= len(l.b) {
		return l.expected("an escape")
	}
	c := l.b[l.i]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return l.unicode()
	default:
		return l.expected("an escape: one of \"\\/bfnrtu")
	}
	l.i++
	l.tmp = append(l.tmp, c)
	return nil
}

// unicode appends the rune of \uXXXX or of a surrogate pair, at the u.
func (l *lexer) unicode() error {
	r, ok := l.hex4()
	if !ok {
		return l.expected("four hexadecimal digits after \\u")
	}
	if r >= 0xD800 && r < 0xE000 {
		low, ok := rune(0), false
		if r < 0xDC00 && l.at('\\') && l.i+1 < len(l.b) && l.b[l.i+1] == 'u' {
			l.i++
			low, ok = l.hex4()
		}
		if !ok || low < 0xDC00 || low >= 0xE000 {
			return l.fail("found half a surrogate pair")
		}
		r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
	}
	l.tmp = utf8.AppendRune(l.tmp, r)
	return nil
}

// hex4 reads the four digits after the u at the current byte.
func (l *lexer) hex4() (rune, bool) {
	if len(l.b)-l.i < 5 {
		return 0, false
	}
	var r rune
	for _, c := range l.b[l.i+1 : l.i+5] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	l.i += 5
	return r, true
}

// elements calls read at each element of the array that begins here.
func (l *lexer) elements(read func() error) error {
	l.i++
	for first := true; ; first = false {
		more, err := l.next(first, ']')
		if err != nil || !more {
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// members calls read at the value of each member of the object that begins here.
func (l *lexer) members(read func(name string) error) error {
	l.i++
	for first := true; ; first = false {
		more, err := l.next(first, '}')
		if err != nil || !more {
			return err
		}
		key, err := l.key()
		if err != nil {
			return err
		}
		if err := read(string(key)); err != nil {
			return err
		}
	}
}

// only is the value of an array that holds one, as a matrix of one column has
// it, and any other value as it is.
func (l *lexer) only(kind token, raw []byte) (token, []byte) {
	if kind != array {
		return kind, raw
	}
	inner := lexer{b: raw, i: 1, nan: l.nan}
	if k, r, err := inner.value(maxDepth - 1); err == nil && inner.peek() == ']' {
		return k, r
	}
	return array, nil
}

// end reports what stands after the value that the body should consist of.
func (l *lexer) end() error {
	l.space()
	if l.i < len(l.b) {
		return l.expected("the end of the body")
	}
	return nil
}
