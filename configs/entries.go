package configs

import "strings"

// Entry is what the reference says about a key, or about a section, whose keys follow it.
type Entry struct {
	Key     string // dotted: "log.level"
	Default string // as it is written; empty = a section
	Text    string // what it means, with its range
}

// Entries returns the reference key by key, in its order, and what it says of the file as a whole.
func Entries() (preface string, entries []Entry) {
	var said []string
	section := ""
	take := func() string {
		text := strings.Join(said, "\n")
		said = nil
		return text
	}
	for line := range strings.Lines(Reference()) {
		line = strings.TrimRight(line, "\n")
		if comment, ok := strings.CutPrefix(line, "##"); ok {
			said = append(said, strings.TrimLeft(comment, " "))
			continue
		}
		if line == "" {
			if len(entries) == 0 && preface == "" {
				preface = take()
			}
			continue
		}
		key, value, _ := strings.Cut(line[1:], ":")
		value = strings.TrimSpace(value)
		switch name, nested := strings.CutPrefix(key, "  "); {
		case nested:
			key = section + "." + name
		case value == "":
			section = key
		}
		entries = append(entries, Entry{key, value, take()})
	}
	return preface, entries
}
