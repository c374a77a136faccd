package main

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// screen is what a result is written for. The zero value is a file or a pipe, and takes everything but colour.
type screen struct {
	width, height int  // characters; 0 = as many as there are
	ascii         bool // it shows no other letters
	colour        bool
}

// mood is how good a line's news is.
type mood int

const (
	plainly mood = iota
	well
	oddly
	badly
)

// colours are the terminal's own, so that they can be read on its background.
var colours = map[mood]string{well: "\x1b[32m", oddly: "\x1b[33m", badly: "\x1b[31m"}

const (
	// narrowest is what a screen is taken for that says it is narrower: a word has to go somewhere.
	narrowest = 20
	// hanging is by how much lines are indented that go on what stands above.
	hanging = 2
)

// asciiLetters says from the environment whether the locale has no letters but ASCII's. Windows' consoles are told every letter in Unicode.
func asciiLetters(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	if locale == "" {
		return runtime.GOOS != "windows"
	}
	return !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
}

// inASCII are the letters of this program's own texts.
var inASCII = strings.NewReplacer("µ", "u", "±", "+-", unknownValue, "-", "…", "...")

// clean is a text as it may be shown: what came over the network must not move a cursor, and the screen must know the letters.
func (s screen) clean(text string) string {
	if s.ascii {
		text = inASCII.Replace(text)
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || !unicode.IsGraphic(r) || s.ascii && r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, text)
}

// paint colours a line.
func (s screen) paint(m mood, line string) string {
	if !s.colour || colours[m] == "" {
		return line
	}
	return colours[m] + line + "\x1b[0m"
}

// wrap breaks a text between words into lines that fit, all but the first indented. A word that is too long is broken.
func (s screen) wrap(text string, indent int) []string {
	text = s.clean(text)
	if s.width == 0 {
		return []string{text}
	}
	width := max(s.width, narrowest)
	indent = min(indent, width/2)
	var lines []string
	line, words, room := "", 0, width
	for word := range strings.SplitSeq(text, " ") {
		for letters := []rune(word); ; {
			free := room - utf8.RuneCountInString(line) - min(words, 1)
			if len(letters) <= free {
				line, words = line+strings.Repeat(" ", min(words, 1))+string(letters), words+1
				break
			}
			if strings.TrimSpace(line) == "" { // a line of its own would be no longer
				part := min(max(0, free), len(letters))
				line, letters = line+string(letters[:part]), letters[part:]
			}
			lines, line, words, room = append(lines, line), "", 0, width-indent
		}
	}
	lines = append(lines, line)
	for i := range lines[1:] {
		lines[i+1] = strings.Repeat(" ", indent) + lines[i+1]
	}
	return lines
}

// pad fills a text up to a width.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// fit cuts a text to what the screen can redraw: rows that scroll away cannot be reached again.
func (s screen) fit(text string) string {
	lines := slices.Collect(strings.Lines(text))
	if s.height == 0 || len(lines) < s.height {
		return text
	}
	keep := max(1, s.height-2)
	return strings.Join(lines[:keep], "") + s.clean("… the screen is too low for the rest") + "\n"
}

// column is one of a table's.
type column struct {
	head string
	rank int // where the screen is too narrow, columns of the highest rank are left out first; those of rank 0 stay
}

// row is one of a table's, with a remark, which goes below where there is no room beside it.
type row struct {
	cells  []string
	remark string
	mood   mood
}

// gap is between two columns.
const gap = "  "

// table lays rows out under the heads of columns.
func (s screen) table(columns []column, remarks string, rows []row) string {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = utf8.RuneCountInString(c.head)
	}
	longest := 0
	for i, r := range rows {
		rows[i].remark = s.clean(r.remark)
		longest = max(longest, utf8.RuneCountInString(rows[i].remark))
		for j := range r.cells {
			r.cells[j] = s.clean(r.cells[j])
			widths[j] = max(widths[j], utf8.RuneCountInString(r.cells[j]))
		}
	}
	shown, used := s.choose(columns, widths)
	beside := s.width == 0 || used+len(gap)+longest <= s.width
	var text strings.Builder
	line := func(cells []string, remark string, m mood) {
		var parts []string
		for _, i := range shown {
			parts = append(parts, pad(cells[i], widths[i]))
		}
		if beside {
			parts = append(parts, remark)
		}
		text.WriteString(s.paint(m, strings.TrimRight(strings.Join(parts, gap), " ")) + "\n")
		if !beside && remark != "" {
			for _, below := range s.wrap(strings.Repeat(" ", hanging)+remark, hanging) {
				text.WriteString(s.paint(m, below) + "\n")
			}
		}
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	if !beside {
		remarks = ""
	}
	line(heads, remarks, plainly)
	for _, r := range rows {
		line(r.cells, r.remark, r.mood)
	}
	return text.String()
}

// choose says which columns there is room for, left to right, and how much they use.
func (s screen) choose(columns []column, widths []int) (shown []int, used int) {
	for i := range columns {
		shown = append(shown, i)
		used += widths[i] + len(gap)
	}
	used -= len(gap)
	for s.width > 0 && used > s.width {
		worst := slices.MaxFunc(shown, func(a, b int) int { return cmp.Compare(columns[a].rank, columns[b].rank) })
		if columns[worst].rank == 0 {
			break
		}
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == worst })
		used -= widths[worst] + len(gap)
	}
	return shown, used
}
