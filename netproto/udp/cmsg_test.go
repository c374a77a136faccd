package udp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// layouts are all platforms' layouts by the first part of the file names in testdata.
var layouts = map[string]layout{"linux64": layoutLinux64, "linux32": layoutLinux32, "darwin": layoutDarwin,
	"freebsd64": layoutFreeBSD64, "windows64": layoutWindows64, "windows32": layoutWindows32}

// parsers are the platforms' parsers for received datagrams.
var parsers = map[string]func(layout, []byte) control{"linux64": parseLinux, "linux32": parseLinux, "darwin": parseBSD,
	"freebsd64": parseBSD, "windows64": parseWindows, "windows32": parseWindows}

// recorded is a file of testdata: control messages, recorded unless the file says that they were made by hand.
type recorded struct {
	name, platform, want string
	data                 []byte
}

// records reads testdata. Finding nothing there is an error, else the tests would pass without testing.
func records(tb testing.TB) []recorded {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no recorded control messages: %v", err)
	}
	var list []recorded
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		comment, body, _ := strings.Cut(string(text), "\n")
		comment = strings.TrimPrefix(comment, "# ")
		want, _, _ := strings.Cut(comment, " # ")
		data, err := hex.DecodeString(strings.TrimSpace(body))
		if err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		platform, _, _ := strings.Cut(name, "-")
		list = append(list, recorded{name, platform, strings.TrimSpace(want), data})
	}
	return list
}

// little tells whether this machine is little-endian, as the recordings are.
func little() bool {
	return bytes.Equal(layoutLinux32.append(nil, 0, 0, nil)[:4], []byte{12, 0, 0, 0})
}

func TestRecorded(t *testing.T) {
	if !little() {
		t.Skip("the recordings are little-endian")
	}
	for _, r := range records(t) {
		t.Run(r.name, func(t *testing.T) {
			l := layouts[r.platform]
			if strings.HasSuffix(r.name, "-sent") {
				sent, ok := parseErrqueue(l, r.data)
				if got := fmt.Sprintf("id=%d stamp=%d", sent.id, sent.stamp); !ok || sent.queued || got != r.want {
					t.Errorf("got %s, ok %v; want %s", got, ok, r.want)
				}
				return
			}
			c := parsers[r.platform](l, r.data)
			got := fmt.Sprintf("dst=%v iface=%d stamp=%d", c.dst, c.iface, c.stamp)
			if got != r.want || c.stamped != (c.stamp != 0) {
				t.Errorf("got %s, stamped %v; want %s", got, c.stamped, r.want)
			}
			if _, ok := parseErrqueue(l, r.data); ok {
				t.Error("a received datagram passes for a transmit stamp")
			}
		})
	}
}

// TestCutShort: every beginning of every recording parses without a panic, and a message cut within is not used.
func TestCutShort(t *testing.T) {
	for _, r := range records(t) {
		l := layouts[r.platform]
		whole := parsers[r.platform](l, r.data)
		for n := range len(r.data) {
			c := parsers[r.platform](l, r.data[:n])
			if c.dst.IsValid() && c.dst != whole.dst || c.iface != 0 && c.iface != whole.iface || c.stamped && c.stamp != whole.stamp {
				t.Errorf("%s cut to %d bytes: %+v, whole %+v", r.name, n, c, whole)
			}
			parseErrqueue(l, r.data[:n])
		}
	}
}

func TestImpossibleLength(t *testing.T) {
	for name, l := range layouts {
		good := l.append(nil, 1, 2, []byte("data"))
		for what, size := range map[string]uint64{"zero": 0, "shorter than the header": uint64(l.dataOff) - 1, "longer than the buffer": uint64(len(good)) + 1, "huge": 1<<64 - 1} {
			bad := bytes.Clone(good)
			for i := range l.lenSize { // little- and big-endian alike enough: all these are wrong either way
				bad[i] = byte(size >> (8 * i))
			}
			if m, _, ok := l.next(bad); ok && little() {
				t.Errorf("%s: length %s: accepted %+v", name, what, m)
			}
		}
	}
}

// TestNoStamp: what no clock shows is no stamp.
func TestNoStamp(t *testing.T) {
	for _, test := range []struct{ sec, nsec int64 }{{0, 0}, {-1, 5}, {5, -1}, {5, 1_000_000_000}, {1 << 62, 0}} {
		if ns, ok := unixNano(test.sec, test.nsec); ok {
			t.Errorf("%d s %d ns passes as %d", test.sec, test.nsec, ns)
		}
	}
	if ns, ok := unixNano(0, 1); !ok || ns != 1 {
		t.Errorf("1 ns: got %d, %v", ns, ok)
	}
}

// TestLost: the kernel's count of dropped datagrams is read in either layout, and half of one is none.
func TestLost(t *testing.T) {
	count := []byte{1, 2, 3, 4}
	for _, l := range []layout{layoutLinux64, layoutLinux32} {
		if c := parseLinux(l, l.append(nil, linuxSocket, linuxLost, count)); c.lost != binary.NativeEndian.Uint32(count) {
			t.Errorf("%+v: read %d", l, c.lost)
		}
		if c := parseLinux(l, l.append(nil, linuxSocket, linuxLost, count[:3])); c.lost != 0 {
			t.Errorf("%+v: read %d of three bytes", l, c.lost)
		}
	}
}

// TestErrqueueOther: what is not the report of a packet handed to the driver, or to its queue, is no transmit stamp.
func TestErrqueueOther(t *testing.T) {
	if !little() {
		t.Skip("the recordings are little-endian")
	}
	for _, r := range records(t) {
		if r.name != "linux64-ipv4-sent" {
			continue
		}
		serr := bytes.LastIndex(r.data, []byte{42, 0, 0, 0, 4})
		for what, at := range map[string]int{"an error": serr, "an ICMP origin": serr + 4, "a stage of TCP's": serr + 9} {
			bad := bytes.Clone(r.data)
			bad[at]++
			if sent, ok := parseErrqueue(layoutLinux64, bad); ok {
				t.Errorf("%s passes as %+v", what, sent)
			}
		}
		queued := bytes.Clone(r.data)
		queued[serr+8]++
		want, _ := parseErrqueue(layoutLinux64, r.data)
		want.queued = true
		if got, ok := parseErrqueue(layoutLinux64, queued); !ok || got != want {
			t.Errorf("of the queue: %+v, want %+v", got, want)
		}
		return
	}
	t.Fatal("recording missing")
}

// FuzzControl walks arbitrary bytes in every layout: no panic, no message beyond the buffer, and what was walked, written
// again, is what was read.
func FuzzControl(f *testing.F) {
	for _, r := range records(f) {
		f.Add(r.data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, l := range layouts {
			var again []byte
			messages := 0
			for m, rest, ok := l.next(b); ok; m, rest, ok = l.next(rest) {
				at := len(again)
				again = l.append(again, m.level, m.typ, m.data)
				if end := at + l.dataOff + len(m.data); end > len(b) || !bytes.Equal(b[at+l.dataOff:end], again[at+l.dataOff:end]) {
					t.Fatalf("%s: message %d differs when written again", name, messages)
				}
				messages++
			}
			if messages*l.dataOff > len(b) {
				t.Fatalf("%s: %d messages in %d bytes", name, messages, len(b))
			}
			if parse := parsers[name]; parse != nil {
				if c := parse(l, b); c.stamped && c.stamp <= 0 {
					t.Fatalf("%s: stamp %d", name, c.stamp)
				}
			}
			parseErrqueue(l, b)
		}
	})
}
