package configs

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// nature names what a YAML node is, for a sentence.
func nature(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch node.Tag {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + quoteless(node.Value)
	default:
		return quote(node.Value)
	}
}

// quoteless shows a number as it was written.
func quoteless(number string) string { return strings.Trim(quote(number), `"`) }

// mismatch explains a scalar of another kind than its key has: a number for a duration, "true" in quotes.
func mismatch(value *yaml.Node, f *field) *fault {
	if value.Tag == string(f.kind) {
		return nil
	}
	isNumber := value.Tag == "!!int" || value.Tag == "!!float"
	switch {
	case f.kind == text && f.quote:
		return &fault{nature(value) + " is not text", strconv.Quote(value.Value)}
	case f.kind == text && isNumber && plainNumber.MatchString(value.Value):
		return nil // the key's own parser knows which unit is missing
	case f.kind == number && isNumber && plainNumber.MatchString(value.Value) && !strings.Contains(value.Value, "."):
		return nil // so long that YAML calls it a float: the key's own parser knows its range
	case f.kind == number && value.Tag == "!!str" && plainNumber.MatchString(value.Value):
		return &fault{quote(value.Value) + " is in quotes, so it is not a number", value.Value}
	case f.kind == boolean && value.Tag == "!!str":
		switch strings.ToLower(value.Value) {
		case "yes", "on", "y", "true":
			return &fault{quote(value.Value) + " is a word here, not a switch", "true"}
		case "no", "off", "n", "false":
			return &fault{quote(value.Value) + " is a word here, not a switch", "false"}
		}
	}
	return &fault{nature(value) + " does not fit", sample(f)}
}

// sample shows how a key is written, by its default.
func sample(f *field) string {
	base := Default()
	name := f.key[strings.LastIndexByte(f.key, '.')+1:]
	values := f.get(&base)
	if f.list {
		return name + ": [" + strings.Join(values, ", ") + "]"
	}
	if f.kind == boolean {
		return name + ": true or " + name + ": false"
	}
	return name + ": " + values[0] + ", or the like"
}

// known lists the keys directly under a prefix ("" or a section and its dot), sections included.
func known(prefix string) []string {
	var names []string
	for _, f := range fields {
		rest, ok := strings.CutPrefix(f.key, prefix)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// label shows a key that a file made up.
func label(key string) string {
	if find(key) != nil || len(known(key+".")) > 0 {
		return key
	}
	return quote(key)
}

// instead says what to write for a key that does not exist: the nearest one, or all there are.
func instead(key string) string {
	prefix := key[:strings.LastIndexByte(key, '.')+1]
	name := key[len(prefix):]
	if section, ok := strings.CutSuffix(prefix, "."); ok && find(key) != nil {
		return section + ": and, indented below it, " + name
	}
	for _, f := range fields { // the right name in the wrong place
		section, last, nested := strings.Cut(f.key, ".")
		if nested && last == name && section+"." != prefix {
			return section + ": and, indented below it, " + name
		}
		if !nested && f.key == name && prefix != "" {
			return name + " without indentation"
		}
	}
	names := known(prefix)
	if best := Nearest(name, names); best != "" {
		return best
	}
	return "one of " + strings.Join(names, ", ")
}

// Nearest is the name that was meant by one that was written, "" where none is near.
func Nearest(written string, names []string) string {
	best, least := "", 2*min(3, 1+len(written)/3) // a word of three letters has too many neighbours
	written = normal(written)
	for _, candidate := range names {
		d := 2 * distance(written, normal(candidate))
		if !strings.HasPrefix(candidate, written[:min(1, len(written))]) { // the first letter is seldom the wrong one
			d++
		}
		if d < least {
			best, least = candidate, d
		}
	}
	return best
}

// normal undoes the usual ways of writing a key in another house style.
func normal(key string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(key))
}

// distance counts the letters to insert, delete or change to turn a into b (Levenshtein), up to short words.
func distance(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
