package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameConfig compares addresses by value; everything else of a Config is plain.
var sameConfig = cmpopts.EquateComparable(Default().Address)

func TestParseProblems(t *testing.T) {
	here := defaultStateDir(runtime.GOOS)
	const pair = "one setting, a colon, a space and its value per line"
	for _, tt := range []struct{ name, file, want string }{
		// the document
		{"tab", "log:\n\tlevel: info", "f:2: this is not YAML (a tab begins this line); write spaces in its place"},
		{"no colon", "poll 1s\nrole: slave\n", "f:2: this is not YAML (mapping values are not allowed in this context); write " + pair},
		{"open bracket", "poll: [1s\nrole: x\n", "f:1: this is not YAML (did not find expected ',' or ']'); write " + pair},
		{"bad UTF-8", "poll: \xff", "f: this is not YAML (invalid leading UTF-8 octet); write " + pair},
		{"unknown anchor", "poll: *x", "f: this is not YAML (unknown anchor 'x' referenced); write " + pair},
		{"second document", "poll: 1s\n---\npoll: 2s", "f:2: a second document begins here; write all keys in one document, without a line of ---"},
		{"empty second document", "poll: 1s\n---\n", "f:2: a second document begins here; write all keys in one document, without a line of ---"},
		{"broken second document", "poll: 1s\n---\na: 'x", "f:3: this is not YAML (found unexpected end of stream); write " + pair},
		{"null document", "null", "f:1: the file holds nothing instead of settings; write " + pair},
		{"list document", "- a", "f:1: the file holds a list instead of settings; write " + pair},
		{"word document", "poll", `f:1: the file holds "poll" instead of settings; write ` + pair},
		{"too large", "#" + strings.Repeat("x", maxSize), "f: the file is larger than 1 MiB; write only the keys that differ from their defaults"},

		// keys
		{"unknown key, near", "grup: x", `f:1: "grup": there is no such setting; write group`},
		{"unknown key, nearer by its first letter", "pole: 1s", `f:1: "pole": there is no such setting; write poll`},
		{"unknown key, no letters", "-: 1s", `f:1: "-": there is no such setting; write one of ` + strings.Join(known(""), ", ")},
		{"unknown key, dashes", "\nMax-Slew: 5ppm", `f:2: "Max-Slew": there is no such setting; write max_slew`},
		{"unknown key, far", "log: {colour: red}", `f:1: "log.colour": there is no such setting; write one of level, format`},
		{"unknown key, wrong level", "level: info", `f:1: "level": there is no such setting; write log: and, indented below it, level`},
		{"unknown key, wrong section", "virtual: {level: info}", `f:1: "virtual.level": there is no such setting; write log: and, indented below it, level`},
		{"unknown key, indented", "log: {poll: 1s}", `f:1: "log.poll": there is no such setting; write poll without indentation`},
		{"dotted key", "log.level: info", "f:1: log.level: there is no such setting; write log: and, indented below it, level"},
		{"merge key", "log: &l {level: info}\n<<: *l", `f:2: "<<": there is no such setting; write one of ` + strings.Join(known(""), ", ")},
		{"duplicate key", "poll: 1s\nrole: slave\npoll: 2s", "f:3: poll: the setting was given before, in line 1; write it once"},
		{"duplicate section", "log: {}\nlog: {}", "f:2: log: the setting was given before, in line 1; write it once"},
		{"duplicate unknown key", "a: 1\na: 1", "f:1: \"a\": there is no such setting; write one of " + strings.Join(known(""), ", ") +
			"\nf:2: \"a\": the setting was given before, in line 1; write it once"},
		{"list as key", "? [a]\n: b", "f:1: a list stands where a setting belongs; write a setting such as role"},
		{"unprintable key", `"a\e": 1`, `f:1: "a\x1b": there is no such setting; write one of ` + strings.Join(known(""), ", ")},

		// listeners
		{"metrics without port", "metrics: 127.0.0.1", `f:1: metrics: "127.0.0.1" is not an address and a port; write ` +
			"127.0.0.1:10527, localhost:10527 or [::1]:10527"},
		{"metrics at a name", "metrics: lan.example:10527", `f:1: metrics: "lan.example:10527" is not an address and a port; write ` +
			"127.0.0.1:10527, localhost:10527 or [::1]:10527"},
		{"metrics as a port", "metrics: 10527", "f:1: metrics: 10527 is a port without an address; write 127.0.0.1:10527, for this host alone"},
		{"metrics at any port", "metrics: 127.0.0.1:0", "f:1: metrics: 127.0.0.1:0 has port 0; write 127.0.0.1:10527"},
		{"page for others", "page: 0.0.0.0:8080", "f:1: page: 0.0.0.0:8080 can be reached from other hosts, which nothing here would ask for a " +
			"password; write 127.0.0.1:8080; from elsewhere, `ssh -L 8080:127.0.0.1:8080 HOST` or a reverse proxy with a password leads there"},

		// kinds of values
		{"null value", "poll:\nrole: slave", "f:1: poll: it has no value; write one, or put a # before the line for the default"},
		{"tilde", "role: ~", "f:1: role: it has no value; write one, or put a # before the line for the default"},
		{"null section", "log:", "f:1: log: it has no value; write one, or put a # before the line for the default"},
		{"null element", "interfaces: [~]", "f:1: interfaces: nothing stands in the list; write \"~\""},
		{"alias", "group: &x a\nstate_dir: *x", `f:2: state_dir: aliases ("*x") are not read; write the value itself`},
		{"word for section", "log: info", `f:1: log: it holds "info" instead of settings; write its settings (level, format) indented below it`},
		{"list for section", "log: [info]", "f:1: log: it holds a list instead of settings; write its settings (level, format) indented below it"},
		{"section for value", "poll: {a: b}", "f:1: poll: it holds a section instead of one value; write poll: 1s, or the like"},
		{"list for value", "poll: [1s]", "f:1: poll: it holds a list instead of one value; write poll: 1s, or the like"},
		{"word for list", "interfaces: eth0", `f:1: interfaces: it holds "eth0" instead of a list; write [eth0]`},
		{"section for list", "interfaces: {a: b}", "f:1: interfaces: it holds a section instead of a list; write a list, such as [eth0]"},
		{"list in list", "interfaces:\n- [a]", "f:2: interfaces: a list stands in the list; write a name, such as eth0"},
		{"number in list", "interfaces: [eth0, 5]", `f:1: interfaces: the number 5 stands in the list; write "5"`},
		{"number for text", "group: 12", `f:1: group: the number 12 is not text; write "12"`},
		{"switch for text", "group: true", `f:1: group: "true" is not text; write "true"`},
		{"date for text", "group: 2001-01-01", `f:1: group: "2001-01-01" is not text; write "2001-01-01"`},
		{"word for switch", "kernel_stamps: yes", `f:1: kernel_stamps: "yes" is a word here, not a switch; write true`},
		{"quoted switch", `dry_run: "false"`, `f:1: dry_run: "false" is a word here, not a switch; write false`},
		{"number for switch", "insecure: 1", "f:1: insecure: the number 1 does not fit; write insecure: true or insecure: false"},
		{"quoted number", `priority: "100"`, `f:1: priority: "100" is in quotes, so it is not a number; write 100`},
		{"word for number", "priority: high", `f:1: priority: "high" does not fit; write priority: 100, or the like`},
		{"fraction for number", "priority: 1.5", "f:1: priority: the number 1.5 does not fit; write priority: 100, or the like"},
		{"hexadecimal", "unicast_port: 0x2922", `f:1: unicast_port: "0x2922" is not a whole decimal number; write a number from 0 to 65535`},
		{"leading zero", "unicast_port: 0123", `f:1: unicast_port: "0123" is not a whole decimal number; write a number from 0 to 65535`},
		{"own tag", "poll: !mine 1s", `f:1: poll: "1s" does not fit; write poll: 1s, or the like`},

		// units
		{"duration without unit", "poll: 5", "f:1: poll: 5 has no unit; write 5s, if seconds are meant, or 5ms"},
		{"zero without unit", "virtual: {offset: 0}\ndry_run: true", "f:1: virtual.offset: 0 has no unit; write 0s, if seconds are meant, or 0ms"},
		{"quoted duration without unit", `poll: "0.5"`, "f:1: poll: 0.5 has no unit; write 0.5s, if seconds are meant, or 0.5ms"},
		{"rate without unit", "max_slew: 500", "f:1: max_slew: 500 has no unit; write 500ppm, if parts per million are meant, or 500ppb"},
		{"rate for duration", "poll: 5ppm", `f:1: poll: "5ppm" is not a duration; write a number and its unit (ms, s, m, h), such as 500ms or 1s`},
		{"duration for rate", "max_slew: 5s", `f:1: max_slew: "5s" is not a rate; write a decimal number and its unit, such as 50ppm or 100ppb`},
		{"days", "max_skew: 3d", "f:1: max_skew: 3d: a day is no unit here; write 72h"},
		{"space before unit", "found_wait: 5 s", `f:1: found_wait: "5 s" has a space in it; write 5s`},
		{"space before rate unit", "max_slew: 5 ppm", `f:1: max_slew: "5 ppm" has a space in it; write 5ppm`},
		{"exponent", "max_slew: 1e2ppm", `f:1: max_slew: "1e2ppm" is not a rate; write a decimal number and its unit, such as 50ppm or 100ppb`},
		{"NaN", "max_slew: .nan", "f:1: max_slew: the number .nan does not fit; write max_slew: 500ppm, or the like"},
		{"NaN with unit", "max_slew: nanppm", `f:1: max_slew: "nanppm" is not a rate; write a decimal number and its unit, such as 50ppm or 100ppb`},
		{"infinity", "poll: .inf", "f:1: poll: the number .inf does not fit; write poll: 1s, or the like"},
		{"overflow", "poll: 9999999999h", `f:1: poll: "9999999999h" is not a duration; write a number and its unit (ms, s, m, h), such as 500ms or 1s`},

		// ranges
		{"poll small", "poll: 249ms", "f:1: poll: 249ms is too small; write a value from 250ms to 1m4s"},
		{"poll large", "poll: 65s", "f:1: poll: 65s is too large; write a value from 250ms to 1m4s"},
		{"found_wait", "found_wait: 301s", "f:1: found_wait: 301s is too large; write a value from 1s to 5m"},
		{"max_skew", "max_skew: 0s", "f:1: max_skew: 0s is too small; write a value from 1s to 240h"},
		{"full_rounds_to", "full_rounds_to: 0", "f:1: full_rounds_to: 0 is too small; write a value from 1 to 65534"},
		{"max_members small", "max_members: 1", "f:1: max_members: 1 is too small; write a value from 2 to 65534"},
		{"max_members large", "max_members: 65535", "f:1: max_members: 65535 is too large; write a value from 2 to 65534"},
		{"max_members negative", "max_members: -3", "f:1: max_members: -3 is too small; write a value from 2 to 65534"},
		{"max_members word", "max_members: 010", `f:1: max_members: "010" is not a whole decimal number; write a number from 2 to 65534`},
		{"step_threshold", "step: always\nstep_threshold: 999us", "f:2: step_threshold: 999us is too small; write a value from 1ms to 240h"},
		{"poll_max", "poll_max: 65s", "f:1: poll_max: 65s is too large; write a value from 0s to 1m4s"},
		{"panic_forward", "panic_forward: -1s", "f:1: panic_forward: -1s is too small; write a value from 0s to 240h"},
		{"panic_backward", "panic_backward: 241h", "f:1: panic_backward: 241h is too large; write a value from 0s to 240h"},
		{"max_slew small", "max_slew: 999ppb", "f:1: max_slew: 999ppb is too small; write a value from 1ppm to 100000ppm"},
		{"max_slew large", "max_slew: 100000.1ppm", "f:1: max_slew: 100000.1ppm is too large; write a value from 1ppm to 100000ppm"},
		{"priority", "priority: 256", "f:1: priority: 256 is too large; write a value from 0 to 255"},
		{"negative priority", "priority: -1", "f:1: priority: -1 is too small; write a value from 0 to 255"},
		{"port", "unicast_port: 65536", "f:1: unicast_port: 65536 is too large; write a value from 0 to 65535"},
		{"virtual", "dry_run: true\nvirtual:\n  offset: -241h\n  frequency: 1001ppm\n  wander: -1ppm\n  seed: 18446744073709551616",
			"f:3: virtual.offset: -241h is too small; write a value from -240h to 240h\n" +
				"f:4: virtual.frequency: 1001ppm is too large; write a value from -1000ppm to 1000ppm\n" +
				"f:5: virtual.wander: -1ppm is too small; write a value from 0ppm to 100ppm\n" +
				"f:6: virtual.seed: 18446744073709551616 is too large; write a value from 0 to 18446744073709551615"},

		// words
		{"trusted short", "trusted: [\"1234\"]", "f:1: trusted: \"1234\" is not the id of a node; write 16 hex digits in quotes, as the log of that node shows its id"},
		{"excluded short", "excluded: [\"1234\"]", "f:1: excluded: \"1234\" is not the id of a node; write 16 hex digits in quotes, as the log of that node shows its id"},
		{"both trusted and excluded", "trusted: [\"00c0ffee00c0ffee\"]\nexcluded: [\"00c0ffee00c0ffee\"]", "f:2: excluded: 00c0ffee00c0ffee is trusted, too; write it in one of the two lists"},
		{"role", "role: Master", `f:1: role: "Master" is not known; write auto, slave or master`},
		{"step", "step: 5", `f:1: step: "5" is not known; write boot, never or always`},
		{"servo", "servo: pll", `f:1: servo: "pll" is not known; write fit or phase-only`},
		{"beside", "beside: chronyd", `f:1: beside: "chronyd" does not fit; write beside: true or beside: false`},
		{"level", "log: {level: trace}", `f:1: log.level: "trace" is not known; write debug, info, warn or error`},
		{"format", "log:\n  format: xml", `f:2: log.format: "xml" is not known; write text or json`},
		{"group empty", `group: ""`, "f:1: group: the name has 0 characters; write a name of 1 to 64 characters"},
		{"group long", "group: " + strings.Repeat("ü", 65), "f:1: group: the name has 65 characters; write a name of 1 to 64 characters"},
		{"group space", `group: "a "`, `f:1: group: "a " begins or ends with a space; write "a"`},
		{"group control", `group: "a\tb"`, `f:1: group: "a\tb" holds characters that cannot be printed; write letters, digits and dashes`},
		{"state_dir relative", "state_dir: state", `f:1: state_dir: "state" is not an absolute path; write the whole path, such as ` + here},
		{"user with a space", "user: the clock", `f:1: user: "the clock" is not the name of a user; write the name of a user, or "" for none`},
		{"confine", "confine: no", `f:1: confine: "no" is a word here, not a switch; write false`},
		{"key_file relative", "key_file: key", `f:1: key_file: "key" is not an absolute path; write the whole path, such as ` + defaultKeyFile(runtime.GOOS)},
		{"key_file control", `key_file: "/a\0"`, `f:1: key_file: "/a\x00" holds characters that cannot be printed; write the path of a file`},
		{"state_dir control", `state_dir: "/a\0"`, `f:1: state_dir: "/a\x00" holds characters that cannot be printed; write the path of a folder`},
		{"trace control", `trace: "a\n"`, `f:1: trace: "a\n" holds characters that cannot be printed; write the path of a file`},
		{"interface empty", `interfaces: [""]`, `f:1: interfaces: "" is not the name of an interface; write names such as eth0, or [] for all`},
		{"interface twice", "interfaces: [a, b, a]", `f:1: interfaces: "a" is named twice; write it once`},

		// addresses
		{"no port", "address: 239.255.52.5", `f:1: address: "239.255.52.5" has no port; write 239.255.52.5:10525`},
		{"port 0", "address: 239.255.52.5:0", "f:1: address: 239.255.52.5:0 has port 0; write 239.255.52.5:10525"},
		{"one host", "address: 192.168.1.10:10525", "f:1: address: 192.168.1.10:10525 reaches one host, not a group; write 239.255.52.5:10525, [ff12::8000:525]:10525 or a broadcast address with its port"},
		{"host name", "address: lan:10525", `f:1: address: "lan:10525" is not an address and a port; write 239.255.52.5:10525, [ff12::8000:525]:10525 or a broadcast address with its port`},
		{"wide IPv6", `address: "[ff15::1]:10525"`, "f:1: address: [ff15::1]:10525 is not a link-local multicast address; write one that begins with ff12, such as [ff12::8000:525]:10525"},
		{"zone", `address: "[ff12::1%eth0]:10525"`, `f:1: address: "[ff12::1%eth0]:10525" names an interface; write [ff12::1]:10525 here and the interface under interfaces`},
		{"mapped", `address: "[::ffff:239.1.1.1]:10525"`, "f:1: address: [::ffff:239.1.1.1]:10525 is an IPv4 address in IPv6 clothes; write 239.1.1.1:10525"},

		// several keys together
		{"master of priority 0", "role: master\npriority: 0", "f:2: priority: 0 means never master, but role is master; write a priority from 1 to 255, or role: slave"},
		{"one port", "unicast_port: 10525", "f:1: unicast_port: 10525 is the port of both address and unicast_port; write two ports, or 0 as unicast_port for any free one"},
		{"one port by address", "address: 224.0.1.1:10526", "f:1: address: 10526 is the port of both address and unicast_port; write two ports, or 0 as unicast_port for any free one"},
		{"threshold without always", "step_threshold: 1s", "f:1: step_threshold: it says nothing with step: boot; write step: always, or leave it out"},
		{"poll_max below poll", "poll: 4s\npoll_max: 3999ms", "f:2: poll_max: 3.999s is less than poll, which is 4s; write 4s or more, or 0s to poll evenly"},
		{"virtual without dry run", "virtual:\n  wander: 1ppb\ntrace: x", "f:2: virtual.wander: it says nothing without a dry run; write dry_run: true (or --dry-run), or leave it out\n" +
			"f:3: trace: it says nothing without a dry run; write dry_run: true (or --dry-run), or leave it out"},
		{"no blame after a refusal", "dry_run: yes\nvirtual: {offset: 5s}", `f:1: dry_run: "yes" is a word here, not a switch; write true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config, err := Parse("f", []byte(tt.file))
			if err == nil {
				t.Fatalf("accepted as %+v", config)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(Config{}, config, sameConfig); diff != "" {
				t.Errorf("a refused file left values behind:\n%s", diff)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for name, file := range map[string]string{
		"empty": "", "comments": "# a\n", "byte order mark": "\ufeffpoll: 1s\n", "separator": "---\n",
		"end": "poll: 1s\n...\n", "carriage returns": "poll: 1s\r\nrole: auto\r\n", "capitals": "kernel_stamps: TRUE",
		"empty sections": "log: {}\nvirtual: {}", "reference": Reference(), "defaults": Default().YAML(),
		"anchor without alias": "poll: &x 1s",
	} {
		got, err := Parse("f", []byte(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(Default(), got, sameConfig); diff != "" {
			t.Errorf("%s: not the defaults (-want +got):\n%s", name, diff)
		}
	}
	for _, address := range []string{"224.0.1.7:1", "255.255.255.255:9", "192.168.1.255:10525", "10.1.0.3:10525", "[ff02::8000:525]:10525"} {
		if _, err := Parse("f", []byte(`address: "`+address+`"`)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestParseListeners(t *testing.T) {
	got, err := Parse("f", []byte("metrics: \":::10527\"\npage: localhost:10527"))
	if err == nil {
		t.Errorf("an address without brackets became %v", got.Metrics)
	}
	got, err = Parse("f", []byte("metrics: \"[::ffff:192.0.2.7]:10527\"\npage: localhost:10528"))
	if err != nil || got.Metrics.String() != "192.0.2.7:10527" || got.Page.String() != "127.0.0.1:10528" {
		t.Errorf("%v, %v, %v", got.Metrics, got.Page, err)
	}
}

// What the host's clock cannot do is refused in the line that asks for it; a virtual clock can do it.
func TestMachine(t *testing.T) {
	slow := Machine{Clock: "SetSystemTimeAdjustment", Slew: 500 * PPM}
	const want = "f:2: max_slew: 100000ppm is more than this system's clock can do (SetSystemTimeAdjustment); write 500ppm or less"
	tenPercent := []byte("role: auto\nmax_slew: 100000ppm")
	if _, err := slow.Parse("f", tenPercent); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := slow.Parse("f", tenPercent, Override{"--dry-run", "dry_run", []string{"true"}}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	if _, err := (Machine{}).Parse("f", tenPercent); err != nil {
		t.Errorf("an unknown machine: %v", err)
	}
	for _, file := range []string{"", "max_slew: 500ppm"} {
		if _, err := slow.Parse("f", []byte(file)); err != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := slow.Parse("f", []byte("max_slew: 0ppm")); err == nil || strings.Count(err.Error(), "max_slew") != 1 {
		t.Errorf("refused for one reason: %v", err)
	}
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, tenPercent, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Load(path); err == nil || !strings.Contains(err.Error(), path+":2: max_slew") {
		t.Errorf("from a file: %v", err)
	}
}

func TestParseFlags(t *testing.T) {
	dry := Override{"--dry-run", "dry_run", []string{"true"}}
	offset := Override{"--virtual-offset", "virtual.offset", []string{"5s"}}
	for _, tt := range []struct {
		name, file, want string
		flags            []Override
	}{
		{"flag over file", "poll: 2s", "", []Override{{"--poll", "poll", []string{"3s"}}}},
		{"flag completes file", "virtual: {offset: 5s}", "", []Override{dry}},
		{"file completes flag", "dry_run: true", "", []Override{offset}},
		{"flag without its mate", "", "--virtual-offset: it says nothing without a dry run; write dry_run: true (or --dry-run), or leave it out", []Override{offset}},
		{"flag of a wrong value", "", `--role: "boss" is not known; write auto, slave or master`, []Override{{"--role", "role", []string{"boss"}}}},
		{"both", "step: x", "--poll: 5 has no unit; write 5s, if seconds are meant, or 5ms\nf:1: step: \"x\" is not known; write boot, never or always",
			[]Override{{"--poll", "poll", []string{"5"}}}},
		{"number", "", `--virtual-seed: "x" is not a whole decimal number; write a number from 0 to 18446744073709551615`, []Override{dry, {"--virtual-seed", "virtual.seed", []string{"x"}}}},
		{"large number", "", `--virtual-seed: 18446744073709551616 is too large; write a value from 0 to 18446744073709551615`, []Override{dry, {"--virtual-seed", "virtual.seed", []string{"18446744073709551616"}}}},
		{"switch", "", `--insecure: "on" is neither true nor false; write true or false`, []Override{{"--insecure", "insecure", []string{"on"}}}},
		{"unreadable file, flag unjudged", "a: 'x", "f: this is not YAML (found unexpected end of stream); write one setting, a colon, a space and its value per line", []Override{offset}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.file), tt.flags...)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseFlagValues(t *testing.T) {
	got, err := Parse("f", []byte("interfaces: [a]\npoll: 2s"),
		Override{"--interface", "interfaces", []string{"b", "c"}}, Override{"--poll", "poll", []string{"4s"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "c"}, got.Interfaces); diff != "" || got.Poll.String() != "4s" {
		t.Errorf("poll %v, interfaces (-want +got):\n%s", got.Poll, diff)
	}
}

func TestOnlyFlags(t *testing.T) {
	flag, file := Problem{File: "--poll"}, Problem{File: "meantime.yaml", Line: 3}
	for want, all := range map[bool][]Problems{true: {{flag}, {flag, flag}}, false: {nil, {file}, {flag, file}}} {
		for _, problems := range all {
			if got := problems.OnlyFlags(); got != want {
				t.Errorf("%v: %v", problems, got)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "meantime.yaml")
	if err := os.WriteFile(path, []byte("pol: 1s"), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems Problems
	if _, err := Load(path); !errors.As(err, &problems) || problems[0].File != path || problems[0].Line != 1 {
		t.Errorf("a wrong file: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || errors.As(err, new(Problems)) {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, maxSize+2), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a large file: %v", err)
	}
}

// FuzzParse: whatever the file says, it is either refused in lines that a user can act upon, or taken as a
// configuration that survives being printed and read again.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds in testdata: %v", err)
	}
	for _, seed := range append(seeds, "meantime.yaml") {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse("f", data)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("not Problems: %v", err)
			}
			for _, p := range problems {
				if p.What == "" || p.Write == "" || p.Line < 0 || unprintable(p.String()) {
					t.Errorf("%#v", p)
				}
			}
			return
		}
		again, err := Parse("printed", []byte(config.YAML()))
		if err != nil {
			t.Fatalf("%v\n%s", err, config.YAML())
		}
		if diff := cmp.Diff(config, again, sameConfig); diff != "" {
			t.Errorf("printed and read again (-want +got):\n%s", diff)
		}
	})
}
