package route

import (
	"fmt"
	"strings"
)

// Canonical is the form in which paths are compared, so that all spellings that a task may
// take for one path are one (RFC 3986, sections 5.2.4 and 6.2.2): visible ASCII characters
// are not encoded, but for "%", "\", "?" and "#", and "/" stays as it came; everything else
// is encoded, a "%" that encodes nothing too, with digits in capitals; doubled slashes are one, and dot segments are
// resolved. A path is sent on as it came.
func Canonical(path string) string {
	return dots(mergeSlashes(decode(path)), true)
}

// CanonicalPart is Canonical for the beginning of a path, or a part of it, which has no
// whole segment at its end.
func CanonicalPart(text string) string {
	text = mergeSlashes(decode(text))
	if !strings.HasPrefix(text, "/") {
		return text
	}
	return dots(text, false)
}

// OtherReading is how a task reads a path for which "%2F", "%5C" and "\" are slashes, or the
// parameters of a segment (RFC 3986, section 3.3: what follows a semicolon) are nothing, or both,
// in either order. There is none if all of them read the canonical form, and it is OneOfMany if
// there are more than one.
func OtherReading(path string) (reading string, ok bool) {
	canonical := Canonical(path)
	plain := decode(path)
	other := canonical
	for _, read := range []string{slashes(plain), withoutParameters(plain), withoutParameters(slashes(plain)), slashes(withoutParameters(plain))} {
		switch read = dots(mergeSlashes(read), true); {
		case read == canonical || read == other:
		case other != canonical:
			return OneOfMany, true
		default:
			other = read
		}
	}
	// What has been resolved may hide what would have been read otherwise.
	if readAll(plain) != readAll(canonical) {
		return OneOfMany, true
	}
	return other, other != canonical
}

// OneOfMany is what OtherReading gives for a path that can be read in more than two ways.
// No label has such a path.
const OneOfMany = "?"

// readAll takes for a slash what may be one in a path that is decoded, and parameters for nothing.
func readAll(decoded string) string {
	return dots(mergeSlashes(withoutParameters(slashes(decoded))), true)
}

// slashes has a slash for all that may be one in a path that is decoded.
func slashes(decoded string) string {
	return strings.ReplaceAll(strings.ReplaceAll(decoded, "%2F", "/"), "%5C", "/")
}

func withoutParameters(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// decode decodes visible ASCII characters and encodes all others.
func decode(path string) string {
	var b strings.Builder
	write := func(c byte, encoded bool) {
		switch {
		case c <= ' ' || c >= 0x7f || c == '\\', c == '%', encoded && strings.IndexByte("/?#", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if high, low := digit(path[i+1]), digit(path[i+2]); high >= 0 && low >= 0 {
				write(byte(high<<4|low), true)
				i += 2
				continue
			}
		}
		write(path[i], false)
	}
	return b.String()
}

func digit(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// dots resolves dot segments. Without whole the last segment may go on, and is none.
func dots(path string, whole bool) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path, "/")
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case last && !whole, s != "." && s != "..":
			out = append(out, s)
			continue
		case s == ".." && len(out) > 1:
			out = out[:len(out)-1]
		}
		if last {
			out = append(out, "")
		}
	}
	return strings.Join(out, "/")
}
