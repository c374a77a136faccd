package configs

import (
	"slices"
	"strings"
	"testing"
)

// TestEntries: the reference tells every key, with its default, in the order of the table.
func TestEntries(t *testing.T) {
	preface, entries := Entries()
	if !strings.Contains(preface, "config check") {
		t.Errorf("preface: %q", preface)
	}
	base, next := Default(), 0
	for _, e := range entries {
		if e.Text == "" && e.Default != "" {
			t.Errorf("%s is not explained", e.Key)
		}
		if e.Default == "" { // a section
			if find(e.Key) != nil || len(known(e.Key+".")) == 0 {
				t.Errorf("%s has no default", e.Key)
			}
			continue
		}
		if next == len(fields) {
			t.Fatalf("%s: there is no such setting", e.Key)
		}
		f := fields[next]
		next++
		read, values := Default(), []string{strings.Trim(e.Default, `"`)}
		if e.Default == "[]" {
			values = nil
		}
		if wrong := f.set(&read, values); e.Key != f.key || wrong != nil || !slices.Equal(f.get(&read), f.get(&base)) {
			t.Errorf("%s: %s, want the default of %s, %q", e.Key, e.Default, f.key, f.get(&base))
		}
	}
	if next != len(fields) {
		t.Errorf("%d keys of %d", next, len(fields))
	}
}
