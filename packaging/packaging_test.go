package packaging

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// need returns the path of a program, or skips the test. MEANTIME_REQUIRE=systemd makes its absence a failure.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "systemd") {
		t.Fatalf("%v, but MEANTIME_REQUIRE names systemd", err)
	}
	t.Skipf("%v: install the systemd package to run this", err)
	return ""
}

// verify writes the unit, and others beside it, to a folder of their own and returns what systemd has to say about them: nothing,
// if they are good.
func verify(t *testing.T, unit string, others ...string) string {
	t.Helper()
	args := []string{"verify", "--man=no"}
	analyze, dir := need(t, "systemd-analyze"), t.TempDir()
	for i, text := range append([]string{unit}, others...) {
		path := filepath.Join(dir, []string{"meantime.service", "meantime-wait-sync.service"}[i])
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(analyze, args...).CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	return string(out)
}

func TestUnitIsValid(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "a folder with 100% spaces")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(folder, "meantime")
	if err := os.Symlink(program, odd); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	for _, path := range []string{program, odd} {
		if complaint := verify(t, Unit(path), WaitUnit(path)); complaint != "" {
			t.Errorf("%s: %s", path, complaint)
		}
	}
	if verify(t, Unit(filepath.Join(folder, "none"))) == "" {
		t.Error("a unit whose program is missing passed: systemd-analyze does not look")
	}
	if verify(t, strings.Replace(Unit(program), "ProtectHome=", "ProtectHouse=", 1)) == "" {
		t.Error("an unknown setting passed: systemd-analyze does not look")
	}
}

// TestUnitExposure: systemd's own score of what a hijacked daemon could do, 0 (nothing) to 10, is 1.9 at most; of what only asks the
// kernel 1.
func TestUnitExposure(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	for threshold, unit := range map[string]string{"19": Unit("/usr/bin/meantime"), "10": WaitUnit("/usr/bin/meantime")} {
		path := filepath.Join(t.TempDir(), "meantime.service")
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "security", "--offline=true", "--threshold="+threshold, "--no-pager", path).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// settings returns the values of the unit by key; a key written twice has two.
func settings(t *testing.T, unit string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for line := range strings.SplitSeq(unit, "\n") {
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("not a setting: %q", line)
		}
		found[key] = append(found[key], value)
	}
	return found
}

// TestUnitMaySetTheClock: what the daemon cannot do without is granted, and nothing takes it away again.
func TestUnitMaySetTheClock(t *testing.T) {
	unit := settings(t, Unit("/usr/bin/meantime"))
	for key, want := range map[string]string{
		"Type":                     "notify",
		"NotifyAccess":             "main",
		"WatchdogSec":              "30", // ten times what the driver's loop needs
		"ExecStart":                "/usr/bin/meantime run",
		"ExecReload":               "/bin/kill -HUP $MAINPID",
		"User":                     "meantime",
		"Group":                    "meantime",
		"AmbientCapabilities":      "CAP_SYS_TIME",
		"CapabilityBoundingSet":    "CAP_SYS_TIME",
		"RestrictAddressFamilies":  "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
		"StateDirectory":           "meantime",
		"RuntimeDirectory":         "meantime",
		"ConfigurationDirectory":   "meantime",
		"Restart":                  "on-failure",
		"RestartForceExitStatus":   "SIGHUP",
		"RestartPreventExitStatus": "3 7 8", // not 2: a panic's, and the watchdog's
	} {
		if got := unit[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	calls := []string{"@system-service @clock seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self", "~@resources"}
	if got := unit["SystemCallFilter"]; !slices.Equal(got, calls) {
		t.Errorf("SystemCallFilter=%q, want %q", got, calls)
	}
	for _, key := range []string{"ProtectClock", "PrivateNetwork", "IPAddressDeny", "PrivateUsers", "Conflicts", "ProcSubset"} {
		if got := unit[key]; got != nil {
			t.Errorf("%s=%q must not be set", key, got)
		}
	}
	after := strings.Fields(strings.Join(unit["After"], " ")) // so that at boot they are found running
	for _, other := range []string{"chronyd", "chrony", "ntpd", "ntp", "ntpsec", "openntpd", "systemd-timesyncd", "ptp4l", "phc2sys"} {
		if !slices.Contains(after, other+".service") {
			t.Errorf("After=%q does not name %s", after, other)
		}
	}
}

func TestUnitEscapesThePath(t *testing.T) {
	for program, want := range map[string]string{
		"/usr/bin/meantime": "ExecStart=/usr/bin/meantime run\n",
		"/opt/100%/m":       "ExecStart=/opt/100%%/m run\n",
		"/opt/my files/m":   "ExecStart=\"/opt/my files/m\" run\n",
	} {
		if unit := Unit(program); !strings.Contains(unit, want) || strings.Contains(unit, "{{") {
			t.Errorf("%s: no %q in\n%s", program, want, unit)
		}
	}
}

// TestWaitUnit: what is ordered after time-sync.target waits, and systemd does not give up before the program has said why.
func TestWaitUnit(t *testing.T) {
	unit := settings(t, WaitUnit("/usr/bin/meantime"))
	for key, want := range map[string]string{
		"ExecStart": "/usr/bin/meantime wait-sync --within 100ms --timeout 3m", "Before": "time-sync.target", "Wants": "time-sync.target",
		"Requires": "meantime.service", "After": "meantime.service", "Type": "oneshot", "RemainAfterExit": "yes", "TimeoutStartSec": "200",
		"WantedBy": "multi-user.target", "User": "meantime", "Group": "meantime", "RestrictAddressFamilies": "AF_UNIX", // or no daemon's socket
	} {
		if got := unit[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
}

// TestUnitsDifferInThePath: the unit of a package and that of an installation are the same but for where the program is.
func TestUnitsDifferInThePath(t *testing.T) {
	for name, unit := range map[string]func(string) string{"Unit": Unit, "WaitUnit": WaitUnit} {
		packaged, installed := unit("/usr/bin/meantime"), unit("/usr/local/bin/meantime")
		if n := strings.Count(packaged, "/usr/bin/meantime"); n != 1 {
			t.Errorf("%s has the path %d times", name, n)
		}
		if strings.ReplaceAll(installed, "/usr/local/bin/meantime", "/usr/bin/meantime") != packaged {
			t.Errorf("%s: more differs than the path:\n%s\n%s", name, packaged, installed)
		}
	}
}

// TestPristine: what meantime wrote is known, wherever the program was; what anybody has changed is not.
func TestPristine(t *testing.T) {
	for _, program := range []string{"/usr/bin/meantime", "/opt/100%/m", "/opt/my files/m"} {
		for name, unit := range map[string]string{"Unit": Unit(program), "WaitUnit": WaitUnit(program)} {
			if !Pristine(unit) {
				t.Errorf("%s of %s is not known", name, program)
			}
			for what, edited := range map[string]string{
				"a setting": strings.Replace(unit, "ProtectHome=yes", "ProtectHome=no", 1),
				"the words": strings.Replace(unit, "meantime ", "meantime --insecure ", 1),
				"a flag":    strings.Replace(unit, "--timeout 3m", "--timeout 9m", 1),
				"the end":   unit + "#\n", "the start": "#" + unit, "seal": strings.Replace(unit, sealMark, "", 1),
			} {
				if edited != unit && Pristine(edited) {
					t.Errorf("%s of %s with %s changed is taken for ours", name, program, what)
				}
			}
		}
	}
	if Pristine("") {
		t.Error("nothing is taken for ours")
	}
}

func TestSysusersCreatesTheAccount(t *testing.T) {
	sysusers := need(t, "systemd-sysusers")
	root := t.TempDir()
	path := filepath.Join(root, "meantime.conf")
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(Sysusers()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sysusers, "--root="+root, path).CombinedOutput()
	if err != nil {
		if os.Geteuid() != 0 {
			t.Skipf("needs root to write accounts even elsewhere: %v\n%s", err, out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	accounts, err := os.ReadFile(filepath.Join(root, "etc", "passwd"))
	if err != nil || !strings.Contains(string(accounts), "\nmeantime:") && !strings.HasPrefix(string(accounts), "meantime:") {
		t.Errorf("no account in %q, %v", accounts, err)
	}
	groups, err := os.ReadFile(filepath.Join(root, "etc", "group"))
	if err != nil || !slices.ContainsFunc(strings.Split(string(groups), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "meantime-view:") && strings.HasSuffix(line, ":meantime")
	}) {
		t.Errorf("no group with the service in it in %q, %v", groups, err)
	}
}

// element is one of XML.
type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Inner   []element `xml:",any"`
}

// value is what an element of a property list means.
func (e element) value(t *testing.T) any {
	t.Helper()
	switch name := e.XMLName.Local; name {
	case "dict":
		dict := map[string]any{}
		for i := 0; i+1 < len(e.Inner); i += 2 {
			if e.Inner[i].XMLName.Local != "key" || dict[e.Inner[i].Text] != nil {
				t.Fatalf("not a key, or twice: %+v", e.Inner[i])
			}
			dict[e.Inner[i].Text] = e.Inner[i+1].value(t)
		}
		if len(e.Inner)%2 != 0 {
			t.Fatalf("a key without a value in %v", dict)
		}
		return dict
	case "array":
		var list []any
		for _, inner := range e.Inner {
			list = append(list, inner.value(t))
		}
		return list
	case "true", "false":
		return name == "true"
	case "integer":
		n, err := strconv.Atoi(e.Text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	case "string":
		return e.Text
	}
	t.Fatalf("launchd knows no <%s>", e.XMLName.Local)
	return nil
}

// The property list is one, starts at boot, is started again after a failure and not after what would fail again, and holds the
// program's path whatever is in it.
func TestPlist(t *testing.T) {
	const program = "/opt/a & b/<m>"
	var list element
	if err := xml.Unmarshal([]byte(Plist(program)), &list); err != nil || list.XMLName.Local != "plist" || len(list.Inner) != 1 {
		t.Fatalf("%v: %+v", err, list)
	}
	want := map[string]any{
		"Label":                "meantime",
		"ProgramArguments":     []any{program, "run"},
		"EnvironmentVariables": map[string]any{"MEANTIME_SERVICE": "launchd"},
		"RunAtLoad":            true,
		"KeepAlive":            map[string]any{"SuccessfulExit": false},
		"ThrottleInterval":     10,
		"ProcessType":          "Interactive",
		"LegacyTimers":         true,
		"Umask":                "077",
		"StandardErrorPath":    "/var/log/meantime.log",
	}
	if got := list.Inner[0].value(t); !reflect.DeepEqual(got, want) {
		t.Errorf("says\n%v\nwant\n%v", got, want)
	}
}

func TestScriptsAreShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skipf("%v: no shell to read the scripts", err)
	}
	scripts := map[string]string{"freebsd": RCScript("/usr/local/bin/meantime"), "openrc": InitScript("/usr/local/bin/meantime")}
	for name, want := range map[string]string{"freebsd": "\nprogram=/usr/local/bin/meantime\n", "openrc": "\ncommand=/usr/local/bin/meantime\n"} {
		if !strings.Contains(scripts[name], want) || strings.Contains(scripts[name], "{{") {
			t.Errorf("%s: the program is not in it:\n%s", name, scripts[name])
		}
	}
	for _, kind := range []string{"deb", "rpm", "apk"} { // what packages run: tools/pack packs it
		entries, err := os.ReadDir(kind)
		if err != nil || len(entries) < 3 {
			t.Fatalf("%s: %d scripts, %v", kind, len(entries), err)
		}
		for _, entry := range entries {
			text, err := os.ReadFile(filepath.Join(kind, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			scripts[kind+" "+entry.Name()] = string(text)
		}
	}
	for name, script := range scripts {
		if strings.HasSuffix(name, "-overrides") || strings.HasSuffix(name, ".toml") {
			continue
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil || !strings.HasPrefix(script, "#!/") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// fakeSubr stands for rc.subr(8): it says what it would run, and does what it is asked to.
const fakeSubr = `
load_rc_config() { meantime_enable=YES; }
run_rc_command() {
	case $1 in
	start) "$start_precmd" || exit 1; echo "env $meantime_env $command $command_args" ;;
	stop) echo "$pidfile ${procname:-$command}" ;;
	rcvar) echo "$rcvar $meantime_enable" ;;
	*) case " $extra_commands " in *" $1 "*) eval "\${${1}_cmd}" ;; esac ;;
	esac
}`

// The script is a shell's; it starts the program below daemon, which is what is stopped, and does not start it on a broken configuration.
func TestRCScript(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skipf("%v: no shell to read the script", err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "meantime")
	script := RCScript(program)
	check := exec.Command(shell, "-n")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); err != nil || strings.Contains(script, "{{") {
		t.Errorf("%v\n%s\n%s", err, out, script)
	}
	script = strings.Replace(script, "\n. /etc/rc.subr\n", fakeSubr, 1)
	script = strings.ReplaceAll(script, "/var/run/", dir+"/")
	run := func(verb, checks string) (string, error) {
		t.Helper()
		if err := os.WriteFile(program, []byte("#!/bin/sh\n[ \"$*\" = 'config check' ] && "+checks+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(shell, "-c", script, "meantime", verb).CombinedOutput()
		return strings.ReplaceAll(strings.TrimSpace(string(out)), dir, "D"), err
	}
	for verb, want := range map[string]string{
		"start": "env MEANTIME_SERVICE=rc /usr/sbin/daemon -f -S -T meantime -t meantime -P D/meantime.pid -p D/meantime.child.pid -R 10 D/meantime run",
		"stop":  "D/meantime.pid /usr/sbin/daemon",
		"rcvar": "meantime_enable YES",
	} {
		if got, err := run(verb, "echo correct"); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", verb, err, got, want)
		}
	}
	if got, err := run("start", "{ echo broken >&2; exit 3; }"); err == nil || got != "broken" {
		t.Errorf("a broken configuration: %v, %s", err, got)
	}
	hears := exec.Command("sleep", "60")
	if err := hears.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "meantime.child.pid"), fmt.Append(nil, hears.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run("reload", "true")
	if died := hears.Wait(); err != nil || died == nil || died.Error() != "signal: hangup" {
		t.Errorf("reload: %v, %v, %s", died, err, out)
	}
}

// What meantime wrote is known, wherever the program was; what anybody has changed is not.
func TestUnedited(t *testing.T) {
	for _, text := range []string{Plist("/usr/local/bin/meantime"), Plist("/opt/a & b/<m>"), RCScript("/usr/local/bin/meantime")} {
		if !Unedited(text) {
			t.Errorf("taken for edited:\n%s", text)
		}
		for _, edited := range []string{strings.Replace(text, "10", "60", 1), text + " ", strings.Replace(text, "run", "ran", 1), ""} {
			if edited != text && Unedited(edited) {
				t.Errorf("taken for unedited:\n%s", edited)
			}
		}
	}
}
