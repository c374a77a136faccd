package configs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// uncommented is the reference file with every key in force.
func uncommented() string {
	return regexp.MustCompile(`(?m)^#([^#])`).ReplaceAllString(Reference(), "$1")
}

func TestReferenceHoldsTheDefaults(t *testing.T) {
	got, err := Parse("reference", []byte(uncommented()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, sameConfig); diff != "" {
		t.Errorf("reference differs from Default (-want +got):\n%s", diff)
	}
}

// TestReferenceHoldsEveryKey: the reference has the keys that are read, in their order, each below its explanation.
func TestReferenceHoldsEveryKey(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(uncommented()), &root); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	lines := strings.Split(uncommented(), "\n")
	var walk func(node *yaml.Node, prefix string)
	walk = func(node *yaml.Node, prefix string) {
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i]
			above := lines[key.Line-2]
			if !strings.HasPrefix(above, "##") && node.Content[i+1].Kind != yaml.MappingNode {
				t.Errorf("line %d, %s%s: no explanation above it", key.Line, prefix, key.Value)
			}
			if node.Content[i+1].Kind == yaml.MappingNode {
				walk(node.Content[i+1], prefix+key.Value+".")
				continue
			}
			got = append(got, prefix+key.Value)
		}
	}
	walk(root.Content[0], "")
	for _, f := range fields {
		want = append(want, f.key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of the reference (-want +got):\n%s", diff)
	}
}

// TestReferenceStatesTheRanges: the bounds that the code enforces stand in the explanation of each key.
func TestReferenceStatesTheRanges(t *testing.T) {
	bounds := regexp.MustCompile(`a value from (\S+) to (\S+)$`)
	ranged := 0
	for _, f := range fields {
		for _, far := range []string{"-1000000h", "-1000000ppm", "-1"} { // one of them has the key's unit
			config := Default()
			wrong := f.set(&config, []string{far})
			if wrong == nil || !bounds.MatchString(wrong.write) {
				continue
			}
			ranged++
			doc := explanation(f.key[strings.LastIndexByte(f.key, '.')+1:])
			for _, bound := range bounds.FindStringSubmatch(wrong.write)[1:] {
				bound = strings.Replace(bound, "1m4s", "64s", 1)
				if !regexp.MustCompile(`(^|[\s(])` + regexp.QuoteMeta(bound) + `($|[\s.,)])`).MatchString(doc) {
					t.Errorf("%s: %s is not in its explanation:\n%s", f.key, bound, doc)
				}
			}
		}
	}
	if ranged != 16 {
		t.Errorf("%d keys have a range", ranged)
	}
}

// explanation returns the comment above a key of the reference.
func explanation(name string) string {
	lines := strings.Split(Reference(), "\n")
	end := slices.IndexFunc(lines, func(line string) bool { return regexp.MustCompile(`^# *` + name + `:`).MatchString(line) })
	start := end
	for start > 0 && strings.HasPrefix(lines[start-1], "##") {
		start--
	}
	return strings.Join(lines[start:end], "\n")
}

// other is a configuration that differs from Default in every key.
var other = map[string]string{
	"role": "master", "group": "hall", "address": `"255.255.255.255:77"`, "unicast_port": "0", "interfaces": "[eth0]",
	"kernel_stamps": "false", "poll": "500ms", "poll_max": "8s", "found_wait": "1.5s", "max_skew": "2h", "full_rounds_to": "7", "max_members": "9", "step": "always",
	"step_threshold": "1s", "max_slew": "0.1ppm", "panic_forward": "0s",
	"panic_backward": "1h", "servo": "phase-only", "beside": "true", "priority": "1", "trusted": `["00c0ffee00c0ffee"]`,
	"user": "clock", "confine": "false", "metrics": `"192.0.2.7:10527"`, "page": `"127.0.0.1:10527"`,
	"excluded": `["00c0ffee00c0ffef"]`, "key_file": "/tmp/key", "insecure": "true", "state_dir": "/tmp",
	"log.level": "debug", "log.format": "json", "dry_run": "true", "virtual.offset": "-1s",
	"virtual.frequency": "1ppm", "virtual.wander": "1ppb", "virtual.seed": "7", "trace": "file",
}

// TestEveryKeySetsOneField: each key changes one field of Config, and together they reach them all.
func TestEveryKeySetsOneField(t *testing.T) {
	reached := map[string]string{}
	for _, f := range fields {
		config, base := Default(), Default()
		value := strings.Trim(other[f.key], `"[]`)
		if f.key == "max_slew" {
			value = "7ppm"
		}
		if f.key == "state_dir" || f.key == "key_file" { // absolute on every system
			value = f.get(&base)[0] + "2"
		}
		if wrong := f.set(&config, []string{value}); wrong != nil {
			t.Errorf("%s: %v", f.key, wrong)
		}
		changed := differing("", reflect.ValueOf(base), reflect.ValueOf(config))
		if len(changed) != 1 {
			t.Errorf("%s changes %v", f.key, changed)
			continue
		}
		if twin := reached[changed[0]]; twin != "" {
			t.Errorf("%s and %s both set %s", twin, f.key, changed[0])
		}
		reached[changed[0]] = f.key
	}
	for _, leaf := range differing("", reflect.ValueOf(Config{}), reflect.Value{}) {
		if reached[leaf] == "" {
			t.Errorf("no key sets Config%s", leaf)
		}
	}
}

// differing lists the fields in which two structs of this package differ; all of them if b is invalid.
func differing(path string, a, b reflect.Value) []string {
	if a.Kind() != reflect.Struct || a.Type().PkgPath() != reflect.TypeFor[Config]().PkgPath() {
		if b.IsValid() && reflect.DeepEqual(a.Interface(), b.Interface()) {
			return nil
		}
		return []string{path}
	}
	var found []string
	for i := range a.NumField() {
		inner := reflect.Value{}
		if b.IsValid() {
			inner = b.Field(i)
		}
		found = append(found, differing(path+"."+a.Type().Field(i).Name, a.Field(i), inner)...)
	}
	return found
}

// random draws a valid configuration.
func random(r *rand.Rand) Config {
	c := Default()
	c.Role = []Role{RoleAuto, RoleSlave, RoleMaster}[r.IntN(3)]
	c.Group = []string{"a", "12", "true", "null", "~", "- x", "a: b", "#", "*a", "hall ü", `"`, "'"}[r.IntN(12)]
	c.Interfaces = [][]string{nil, {"eth0"}, {"1", "yes", "Ethernet 2", "a,b"}}[r.IntN(3)]
	c.Poll = 250*time.Millisecond + time.Duration(r.Int64N(int64(60*time.Second)))
	c.MaxSkew = time.Duration(1+r.IntN(240)) * time.Hour
	c.MaxSlew = Rate(1e-6 + r.Float64()*0.099)
	c.Priority = uint8(1 + r.IntN(255))
	c.Log.Level = []slog.Level{slog.LevelDebug, slog.LevelWarn, slog.LevelError}[r.IntN(3)]
	c.User, c.Confine = []string{"", "clock", "1"}[r.IntN(3)], r.IntN(2) == 0
	c.DryRun = true
	c.Virtual = Virtual{time.Duration(r.Int64N(1e15) - 5e14), Rate(r.NormFloat64() * 1e-4), Rate(r.Float64() * 1e-9), r.Uint64()}
	c.Trace = []string{"", "a b", "/x:y"}[r.IntN(3)]
	return c
}

// TestPrintedConfigReadsBack: YAML is read back to the same values, and JSON holds the same tree.
func TestPrintedConfigReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		config := random(r)
		again, err := Parse("printed", []byte(config.YAML()))
		if err != nil {
			t.Fatalf("%v\n%s", err, config.YAML())
		}
		if diff := cmp.Diff(config, again, sameConfig); diff != "" {
			t.Fatalf("read back (-want +got):\n%s", diff)
		}
		var fromYAML, fromJSON any
		data, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(config.YAML()), &fromYAML); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(data, &fromJSON); err != nil { // JSON is YAML too
			t.Fatal(err)
		}
		if diff := cmp.Diff(fromYAML, fromJSON); diff != "" {
			t.Fatalf("JSON (-yaml +json):\n%s", diff)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]Rate{
		"0ppm": 0, "1ppm": 1e-6, "500ppm": 5e-4, "100ppb": 1e-7, "0.5ppm": 5e-7, "-12.25ppm": -12.25e-6, "+1ppb": 1e-9,
		".5ppm": 5e-7, "1.ppm": 1e-6, "100000ppm": 0.1, "0.000001ppb": 1e-15,
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v", text, got, err)
		}
	}
	for rate, want := range map[Rate]string{
		0: "0ppm", 1e-6: "1ppm", -1e-6: "-1ppm", 5e-4: "500ppm", 1e-7: "0.1ppm", 1e-15: "0.000000001ppm", 1: "1000000ppm",
		123456.789e-6: "123456.789ppm", Rate(math.Inf(1)): "+Infppm",
	} {
		if got := rate.String(); got != want {
			t.Errorf("Rate(%g) = %s, want %s", float64(rate), got, want)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		rate := Rate(r.NormFloat64() * math.Pow(10, -12*r.Float64()))
		if got, err := ParseRate(rate.String()); got != rate || err != nil {
			t.Fatalf("%s is read back as %g, %v", rate, float64(got), err)
		}
	}
	for _, text := range []string{"", "ppm", "5", "1e3ppm", "infppm", "0x1ppm", "1_0ppm", "5 ppm", "5PPM", "5%", "--1ppm"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %v", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m",
		time.Hour + time.Second: "1h0m1s", 100 * time.Hour: "100h", 1500 * time.Millisecond: "1.5s", -time.Hour: "-1h",
	} {
		text := formatDuration(d)
		if back, err := ParseDuration(text); text != want || back != d || err != nil {
			t.Errorf("%v is written %s, want %s, and read back as %v, %v", d, text, want, back, err)
		}
	}
	for _, text := range []string{"", "0", "5", "1 s", "1d", "s", "1e3s", "99999999h", ".5"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
}

func TestDefaultPlaces(t *testing.T) {
	for goos, want := range map[string][2]string{
		"linux":   {"/var/lib/meantime", "/etc/meantime/key"},
		"darwin":  {"/Library/Application Support/meantime", "/etc/meantime/key"},
		"freebsd": {"/var/db/meantime", "/usr/local/etc/meantime/key"},
		"windows": {`C:\ProgramData\meantime\state`, `C:\ProgramData\meantime\key`},
	} {
		if goos == runtime.GOOS && os.Getenv("ProgramData") != "" {
			continue // on Windows, that says where
		}
		if dir, key := defaultStateDir(goos), defaultKeyFile(goos); dir != want[0] || key != want[1] {
			t.Errorf("%s: %s, %s", goos, dir, key)
		}
		if control := defaultControl(goos); goos == "windows" && control != want[0]+`\`+SocketName || !strings.Contains(Reference(), control) {
			t.Errorf("%s: the control socket is %s", goos, control)
		}
		for _, path := range want {
			if !strings.Contains(Reference(), path) && goos != runtime.GOOS && goos != "darwin" {
				t.Errorf("%s: the reference does not name %s", goos, path)
			}
		}
	}
	for key, path := range map[string]string{"state_dir": Default().StateDir, "key_file": Default().KeyFile} {
		if !strings.Contains(Reference(), fmt.Sprintf("\n#%s: %s\n", key, path)) {
			t.Errorf("the reference does not show this system's %s", key)
		}
	}
}
