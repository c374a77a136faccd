package daemon

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"meantime/netproto"
)

// FuzzState: of the files of the state directory only what this program writes is taken, but for the case of an id's digits and
// leading zeros of a term, and no node gets an id or a term that cannot be.
func FuzzState(f *testing.F) {
	for _, seed := range []string{
		"0123456789abcdef", "0123456789ABCDEF", "0000000000000000", "ffffffffffffffff", "123456789abcdef", "0x23456789abcdef", "+123456789abcdef",
		"0", "1", "007", "4611686018427387904", "4611686018427387905", "18446744073709551615", "18446744073709551616", "-1", "1_0", "", "\x00", "hello",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := parseID(text); ok && (id == 0 || id.String() != strings.ToLower(text)) {
			t.Errorf("%q is taken for the id %v", text, id)
		}
		if term, ok := parseTerm(text); ok {
			short := strings.TrimLeft(text, "0")
			if term > netproto.MaxTerm || strconv.FormatUint(term, 10) != text && strconv.FormatUint(term, 10) != "0"+short && strconv.FormatUint(term, 10) != short {
				t.Errorf("%q is taken for the term %d", text, term)
			}
		}
	})
}

// FuzzProcesses: whatever runs on this host and however it was started, its command line and its name are read without harm, and only who
// may set the clock and bears a known name is a rival.
func FuzzProcesses(f *testing.F) {
	for _, seed := range []string{
		"chronyd\x00/usr/sbin/chronyd\x00-F\x001", "chronyd\x00chronyd\x00-f", "chronyd\x00chronyd\x00-fx", "chronyd\x00-\x00--\x00-x", "ptp4l\x00ptp4l\x00--free_running",
		"phc2sys\x00phc2sys\x00-c", "phc2sys\x00phc2sys\x00-a\x00-O\x00-r", "systemd-timesyn\x00/usr/lib/systemd/systemd-timesyncd", "\x00", "",
		string(kinfo(77, "ntpd")), string(append(kinfo(1, "init"), kinfo(243, "chronyd")...)), string(kinfo(5, "timed")[:kinfoCommand]),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\x00")
		p := process{pid: 7, command: words[0], args: words[1:], able: true}
		found := rivalsAmong([]process{p})
		if len(found) > 1 || len(found) == 1 && !slices.ContainsFunc(timekeepers, func(k timekeeper) bool { return k.name == found[0].name }) {
			t.Errorf("%q gave %v", words, found)
		}
		if p.able = false; len(rivalsAmong([]process{p})) != 0 {
			t.Errorf("%q is a rival without the right to set the clock", words)
		}
		records, err := processesOfKinfo([]byte(text))
		if err == nil && len(text) > 0 && len(records) == 0 {
			t.Errorf("%q: neither records nor an error", text)
		}
		for _, r := range rivalsByName(records) {
			if !strings.Contains(text, r.name) || r.remedy == "" {
				t.Errorf("%q gave %v", text, r)
			}
		}
	})
}
