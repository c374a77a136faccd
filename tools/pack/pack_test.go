package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// moment is when the releases of these tests were committed.
var moment = time.Date(2026, time.November, 26, 16, 16, 28, 0, time.UTC)

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		release     release
		general, as string
	}{
		{release{base: "0.0.0", hash: "cb34524"}, "0.0.0+git20261126161628.cb34524", "0.0.0_git20261126_p161628"},
		{release{base: "0.0.0", hash: "cb34524", dirty: true}, "0.0.0+git20261126161628.cb34524.dirty", "0.0.0_git20261126_p161628_p1"},
		{release{base: "1.2.0", pre: "rc1"}, "1.2.0~rc1", "1.2.0_rc1"},
		{release{base: "1.2.0", pre: "rc1", hash: "cb34524"}, "1.2.0~rc1+git20261126161628.cb34524", "1.2.0_rc1_git20261126_p161628"},
		{release{base: "1.2.0"}, "1.2.0", "1.2.0"},
		{release{base: "1.2.0", hash: "0234524"}, "1.2.0+git20261126161628.0234524", "1.2.0_git20261126_p161628"},
	} {
		tt.release.time = moment
		if general, apk := tt.release.String(), tt.release.apk(); general != tt.general || apk != tt.as {
			t.Errorf("%+v: %s and %s, want %s and %s", tt.release, general, apk, tt.general, tt.as)
		}
	}
}

// TestVersionsSort: each is later than the one before it, by Debian's own word.
func TestVersionsSort(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip(err)
	}
	order := []release{
		{base: "0.0.0", hash: "fffffff", time: moment}, {base: "0.0.0", hash: "0000000", time: moment.Add(time.Second)},
		{base: "0.1.0", pre: "alpha1"}, {base: "0.1.0", pre: "beta1"}, {base: "0.1.0", pre: "rc1"},
		{base: "0.1.0", pre: "rc1", hash: "0000000", time: moment}, {base: "0.1.0", pre: "rc2"},
		{base: "0.1.0"}, {base: "0.1.0", hash: "fffffff", time: moment}, {base: "0.1.1"}, {base: "0.10.0"},
	}
	for i := 1; i < len(order); i++ {
		a, b := order[i-1].String(), order[i].String()
		if err := exec.Command(dpkg, "--compare-versions", a, "lt", b).Run(); err != nil {
			t.Errorf("%s is not before %s", a, b)
		}
	}
}

// checkout makes a repository with one commit.
func checkout(t *testing.T) (root string, run func(args ...string)) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	root = t.TempDir()
	run = func(args ...string) {
		t.Helper()
		command := exec.Command("git", append([]string{"-C", root, "-c", "user.name=n", "-c", "user.email=e"}, args...)...)
		command.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-11-26T16:16:28Z", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	run("init", "--quiet")
	run("commit", "--quiet", "--allow-empty", "--message", "one")
	return root, run
}

func TestReleaseOfGit(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	root, run := checkout(t)
	want := func(version, text string) {
		t.Helper()
		r, err := findRelease(root, version)
		if err != nil || !strings.HasPrefix(r.String(), text) {
			t.Errorf("%s, %v, want %s", r, err, text)
		}
		if dirty := strings.HasSuffix(r.String(), ".dirty"); dirty != r.dirty || !r.time.Equal(moment) {
			t.Errorf("%+v", r)
		}
	}
	want("", "0.0.0+git20261126161628.")
	run("tag", "v1.2.0-rc3")
	want("", "1.2.0~rc3")
	run("commit", "--quiet", "--allow-empty", "--message", "two")
	want("", "1.2.0~rc3+git20261126161628.")
	run("tag", "v1.2.0")
	if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want("", "1.2.0+git20261126161628.")
	if r, err := findRelease(root, ""); err != nil || !r.dirty {
		t.Errorf("a file that git does not know, and not dirty: %s, %v", r, err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1795709788")
	want("v2.0.1", "2.0.1")
	for _, wrong := range []string{"2.0.1", "v2.0", "v2.0.1-7", "v1.0.0-nightly"} {
		if r, err := findRelease(root, wrong); err == nil {
			t.Errorf("%s became %s", wrong, r)
		}
	}
	if _, err := findRelease(t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "--version") {
		t.Errorf("without git: %v", err)
	}
}

func TestChoose(t *testing.T) {
	for list, want := range map[string]int{"": len(products), "deb/amd64": 1, "deb": 2, "deb,windows/arm64": 3} {
		if got, err := choose(list); len(got) != want || err != nil {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []string{"msi", "deb/386", "deb,", "deb,deb/amd64"} {
		if got, err := choose(list); err == nil {
			t.Errorf("%q: %v", list, got)
		}
	}
}

// TestPrepare: a whole build leaves nothing of another version, a part of one leaves the rest alone.
func TestPrepare(t *testing.T) {
	out := filepath.Join(t.TempDir(), "dist")
	for only, left := range map[string]int{"": 1, "deb": 4} {
		if err := prepare(out, only); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"meantime_0.1.0-1_amd64.deb", "meantime-0.1.0-1.x86_64.rpm", "meantime-0.1.0-darwin-arm64.tar.gz", "notes"} {
			if err := os.WriteFile(filepath.Join(out, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := prepare(out, only); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(out); err != nil || len(entries) != left {
			t.Errorf("--only %q: %v left, %v", only, entries, err)
		}
	}
}

// TestSums: what an earlier run has built of the same version is in the list, what is of another is not.
func TestSums(t *testing.T) {
	out := t.TempDir()
	r := release{base: "1.2.0", hash: "cb34524", time: moment}
	own := []string{
		"meantime-" + r.String() + "-1.x86_64.rpm", "meantime-" + r.String() + "-windows-amd64.zip", "meantime_" + r.String() + "-1_amd64.deb",
		"meantime_" + r.apk() + "-r1_x86_64.apk",
	}
	others := []string{
		"meantime_1.2.0-1_amd64.deb", "meantime-1.2.0-darwin-arm64.tar.gz", "meantime_" + r.String() + ".dirty-1_amd64.deb",
		"meantime_" + r.apk() + "_p1-r1_x86_64.apk", "notes", "SHA256SUMS",
	}
	for _, name := range slices.Concat(own, others) {
		if err := os.WriteFile(filepath.Join(out, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeSums(out, r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		listed = append(listed, strings.Fields(line)[1])
	}
	if !slices.Equal(listed, own) {
		t.Errorf("listed %q, want %q", listed, own)
	}
}

func TestChangelogs(t *testing.T) {
	points := changes("# Changelog\n\nWords.\n\n## Unreleased\n\n- One thing\n  goes on.\n- Two.\n\n## 0.1.0\n\n- Old.\n")
	r := release{base: "1.0.0", time: moment}
	want := "meantime (1.0.0-1) unstable; urgency=medium\n\n  * One thing goes on.\n  * Two.\n\n -- " + maintainer +
		"  Thu, 26 Nov 2026 16:16:28 +0000\n"
	if got := debianChangelog(r, points); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if got := rpmChangelog(r, points); !strings.Contains(got, `- note: "One thing goes on."`) || !strings.Contains(got, "date: 2026-11-26T16:16:28Z") {
		t.Errorf("got:\n%s", got)
	}
	long := wrap("  * ", "    ", strings.Repeat("µµµµ ", 40))
	for line := range strings.Lines(long) {
		if n := len([]rune(line)); n > 80 || n < 20 || !strings.HasPrefix(line, "  ") { // with its end
			t.Errorf("%d characters: %q", n, line)
		}
	}
}

// TestChangelogOfTheTree: the real file has something to say.
func TestChangelogOfTheTree(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if points := changes(string(text)); len(points) == 0 || strings.HasPrefix(points[0], "- ") {
		t.Errorf("%q", points)
	}
}

func TestCopyright(t *testing.T) {
	text, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	got := copyright(string(text))
	for _, want := range []string{"\nCopyright: 2026 The meantime authors\nLicense: Expat\n Permission is hereby", "\n .\n The above copyright notice"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestLicences: what is linked goes with its licences, on each system its own.
func TestLicences(t *testing.T) {
	b := &builder{root: "../.."}
	linux, err := b.licences("linux", runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	windows, err := b.licences("windows", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"\ngithub.com/spf13/cobra v", "\ngopkg.in/yaml.v3 v3.0.1, NOTICE", "\nGo go"} {
		if !strings.Contains(string(linux), module) || !strings.Contains(string(windows), module) {
			t.Errorf("%q is not in both", module)
		}
	}
	if only := "\ngithub.com/inconshreveable/mousetrap "; strings.Contains(string(linux), only) || !strings.Contains(string(windows), only) {
		t.Errorf("%q is linked on Windows only", only)
	}
	if err := addLicences(&strings.Builder{}, "example.com/bare v1", t.TempDir()); err == nil {
		t.Error("a module without a licence was taken")
	}
}
