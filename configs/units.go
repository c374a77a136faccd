package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Rate is a fractional rate: 1e-6, one millionth, is 1 ppm.
type Rate float64

// PPM and PPB are the units of a Rate: parts per million and per billion. Without a type, 500*PPM is the float
// closest to 5e-4.
const (
	PPM = 1e-6
	PPB = 1e-9
)

// fault is why a value cannot be taken, and what to write instead.
type fault struct{ what, write string }

// plainNumber matches decimal numbers, without exponent, hexadecimal digits, infinities and their like.
var plainNumber = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$`)

// ParseRate reads a decimal number followed by its unit, ppm or ppb: "50ppm", "-0.5ppm", "100ppb".
func ParseRate(text string) (Rate, error) {
	rate, wrong := parseRate(text)
	if wrong != nil {
		return 0, fmt.Errorf("%s; write %s", wrong.what, wrong.write)
	}
	return rate, nil
}

func parseRate(text string) (Rate, *fault) {
	if plainNumber.MatchString(text) {
		return 0, &fault{quoteless(text) + " has no unit", text + "ppm, if parts per million are meant, or " + text + "ppb"}
	}
	for unit, exponent := range map[string]string{"ppm": "e-6", "ppb": "e-9"} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		if trimmed := strings.TrimSpace(number); trimmed != number && plainNumber.MatchString(trimmed) {
			return 0, &fault{quote(text) + " has a space in it", trimmed + unit}
		}
		// The unit goes in as an exponent, so that the result is the float closest to the decimal written.
		value, err := strconv.ParseFloat(number+exponent, 64)
		if !plainNumber.MatchString(number) || err != nil {
			break
		}
		return Rate(value), nil
	}
	return 0, &fault{quote(text) + " is not a rate", "a decimal number and its unit, such as 50ppm or 100ppb"}
}

// String writes the rate in ppm, with as many digits as ParseRate needs to return the same value.
func (r Rate) String() string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(float64(r), 'e', -1, 64), "e")
	power, err := strconv.Atoi(exponent)
	if err != nil { // infinities and NaN have no exponent
		return mantissa + "ppm"
	}
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	digits := strings.Replace(mantissa, ".", "", 1)
	point := power + 6 + 1 // digits before the decimal point once the unit is ppm
	if r == 0 {
		return "0ppm"
	}
	if point <= 0 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	if len(digits) < point {
		digits += strings.Repeat("0", point-len(digits))
	}
	if point == len(digits) {
		return sign + digits + "ppm"
	}
	return sign + digits[:point] + "." + digits[point:] + "ppm"
}

// ParseDuration reads what time.ParseDuration reads, but never a number without a unit, not even 0.
func ParseDuration(text string) (time.Duration, error) {
	value, wrong := parseDuration(text)
	if wrong != nil {
		return 0, fmt.Errorf("%s; write %s", wrong.what, wrong.write)
	}
	return value, nil
}

func parseDuration(text string) (time.Duration, *fault) {
	if plainNumber.MatchString(text) {
		return 0, &fault{quoteless(text) + " has no unit", text + "s, if seconds are meant, or " + text + "ms"}
	}
	if value, err := time.ParseDuration(text); err == nil {
		return value, nil
	}
	squeezed := strings.Join(strings.Fields(text), "")
	if _, err := time.ParseDuration(squeezed); err == nil {
		return 0, &fault{quote(text) + " has a space in it", squeezed}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok && len(days) < 6 {
		if n, err := strconv.Atoi(days); err == nil {
			return 0, &fault{text + ": a day is no unit here", strconv.Itoa(n*24) + "h"}
		}
	}
	return 0, &fault{quote(text) + " is not a duration", "a number and its unit (ms, s, m, h), such as 500ms or 1s"}
}

// formatDuration writes a duration without the empty tail of Duration.String: 1h, not 1h0m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	for _, tail := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, tail) {
			text = strings.TrimSuffix(text, tail[1:])
		}
	}
	return text
}

// quote shows a value as it was written, shortened and harmless for a terminal.
func quote(text string) string {
	const longest = 60
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return strconv.Quote(text)
}

// printable replaces what a terminal might act upon.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
