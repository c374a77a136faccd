package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// keyringOf opens a key file.
func keyringOf(t *testing.T, path string) (*keyring, *journal) {
	t.Helper()
	cfg, j := configs.Default(), &journal{}
	cfg.KeyFile = path
	k, err := openKeys(cfg, slog.New(j))
	if err != nil || len(j.find("")) != 0 {
		t.Fatalf("logged %q, %v", j.warnings(), err)
	}
	return k, j
}

// Without a key nobody steers a real clock unless told to, and insecure wins over a key: both are said.
func TestOpenKeys(t *testing.T) {
	good, bad, none := keyFileOf(t, lineOf(1)), keyFileOf(t, "x"), filepath.Join(t.TempDir(), "none")
	usual := configs.Default().KeyFile
	open, secured := "insecure: packets are not authenticated", "insecure: the key file is not used"
	for name, tt := range map[string]struct {
		file          string
		dry, insecure bool
		held          bool
		err           []error
		warns         []string
	}{
		"a key":                         {file: good, held: true},
		"none":                          {file: none, err: []error{ErrNoKey, ErrKeyFile, fs.ErrNotExist}},
		"a broken one":                  {file: bad, err: []error{ErrKeyFile}},
		"insecure":                      {file: usual, insecure: true, warns: []string{open}},
		"insecure, a key":               {file: good, insecure: true, warns: []string{open, secured}},
		"insecure, a file that is none": {file: none, insecure: true, warns: []string{open, secured}},
		"dry, a key":                    {file: good, dry: true, held: true},
		"dry, none where one is named":  {file: none, dry: true, err: []error{ErrKeyFile}},
		"dry, insecure, a key":          {file: good, dry: true, insecure: true, warns: []string{secured}},
		"dry":                           {file: usual, dry: true},
	} {
		if _, err := os.Stat(usual); err == nil && tt.file == usual {
			continue // this host has a key of its own
		}
		cfg, j := configs.Default(), &journal{}
		cfg.KeyFile, cfg.DryRun, cfg.Insecure = tt.file, tt.dry, tt.insecure
		k, err := openKeys(cfg, slog.New(j))
		if (err == nil) != (tt.err == nil) || errors.Is(err, ErrNoKey) != slices.Contains(tt.err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range tt.err {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", name, err, want)
			}
		}
		if held := k.held() != nil; held != tt.held || held && k.held().Group() != netproto.GroupID(cfg.Group) {
			t.Errorf("%s: keys held: %v", name, held)
		}
		warned := j.warnings()
		if len(warned) != len(tt.warns) {
			t.Errorf("%s: warned %q", name, warned)
			continue
		}
		for i, want := range tt.warns {
			if !strings.HasPrefix(warned[i], want) {
				t.Errorf("%s: warned %q, want %q", name, warned[i], want)
			}
		}
		if tt.file == usual && tt.dry && len(j.find("dry run without a key")) != 1 {
			t.Errorf("%s: it does not say that it has no key", name)
		}
	}
}

// What a command left beside the key file when it died is named, by the next command and at the start; other files and what is just
// being written are not.
func TestLeftovers(t *testing.T) {
	path := keyFileOf(t, lineOf(1))
	long := time.Now().Add(-2 * replaceTime)
	for name, old := range map[string]bool{"key.17": true, "key.18": false, "key.old": true, "key.1x": true, "other.17": true} {
		put(t, filepath.Join(filepath.Dir(path), name), lineOf(2))
		if !old {
			continue
		}
		if err := os.Chtimes(filepath.Join(filepath.Dir(path), name), time.Time{}, long); err != nil {
			t.Fatal(err)
		}
	}
	k, err := RotateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, j := configs.Default(), &journal{}
	cfg.KeyFile = path
	if _, err := openKeys(cfg, slog.New(j)); err != nil || len(j.warnings()) != 1 {
		t.Fatalf("warned %q, %v", j.warnings(), err)
	}
	for _, text := range []string{k.Caution(), j.warnings()[0]} {
		if !strings.Contains(text, path+".17: remove") || strings.Count(text, filepath.Dir(path)+string(filepath.Separator)+"key.") != 1 {
			t.Errorf("it says %q", text)
		}
	}
	if list := files(t, filepath.Dir(path)); strings.Count(list, "key.") != 4 {
		t.Errorf("something was removed: %s", list)
	}
}

// A file that changes is taken if it is good; if not, that is told once and the keys stay. One that lacks keys in force is taken at the
// second look, if it still is the same.
func TestKeyringLook(t *testing.T) { synctest.Test(t, keyringLook) }

func keyringLook(t *testing.T) {
	path := keyFileOf(t, lineOf(1))
	k, j := keyringOf(t, path)
	put2 := func(text string) { // another file in its place, as copying programs do
		t.Helper()
		put(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	at := int64(0)
	written := func(keys ...byte) { // in place, as cp and scp do
		t.Helper()
		var text string
		for _, b := range keys {
			text += lineOf(b) + "\n"
		}
		put(t, path, text)
		at++
		if err := os.Chtimes(path, time.Time{}, time.Unix(at, 0)); err != nil { // no two writes are of one instant
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		do      func()
		anyhow  bool
		changed bool
		ids     []byte // of the keys in force
		logged  string // last
		lines   int
	}{
		{do: func() {}, ids: []byte{1}},
		{do: func() { put2(lineOf(2) + "\n" + lineOf(1)) }, changed: true, ids: []byte{2, 1}},
		{do: func() { put2("# the same\n" + lineOf(2) + "\n" + lineOf(1)) }, ids: []byte{2, 1}},
		{do: func() {}, anyhow: true, ids: []byte{2, 1}, logged: "the key file was read again", lines: 1},
		{do: func() { put2("") }, ids: []byte{2, 1}, logged: "the key file has changed and is not taken", lines: 2},
		{do: func() {}, ids: []byte{2, 1}, lines: 2},
		{do: func() {}, anyhow: true, ids: []byte{2, 1}, lines: 2},
		{do: func() { put2("no key") }, ids: []byte{2, 1}, logged: "the key file has changed and is not taken", lines: 3},
		{do: func() { _ = os.Remove(path) }, ids: []byte{2, 1}, logged: "the key file has changed and is not taken", lines: 4},
		{do: func() {}, ids: []byte{2, 1}, lines: 4},
		{do: func() { written(3) }, ids: []byte{2, 1}, lines: 4},
		{do: func() {}, changed: true, ids: []byte{3}, logged: "the key file can be used again", lines: 5},
		{do: func() { written(4) }, ids: []byte{3}, lines: 5}, // in place, and seen
		{do: func() { written(4, 3) }, changed: true, ids: []byte{4, 3}, lines: 5},
		{do: func() { written(5) }, anyhow: true, ids: []byte{4, 3}, lines: 5},
		{do: func() { written(6) }, anyhow: true, ids: []byte{4, 3}, lines: 5},
		{do: func() {}, changed: true, ids: []byte{6}, lines: 5},
	} {
		time.Sleep(settle)
		step.do()
		if changed := k.look(step.anyhow); changed != step.changed {
			t.Errorf("step %d: changed: %v", i, changed)
		}
		var ids []string
		for _, b := range step.ids {
			ids = append(ids, idOf(t, b))
		}
		if !slices.Equal(k.ids, ids) || netproto.KeyName(k.held().Newest()) != ids[0] {
			t.Errorf("step %d: keys %v, want %v", i, k.ids, ids)
		}
		said := j.find("")
		if len(said) != step.lines || step.logged != "" && !strings.HasPrefix(said[len(said)-1].Message, step.logged) {
			t.Errorf("step %d: %d lines, warnings %q", i, len(said), j.warnings())
		}
	}
}

// A file that others can read is not taken although nothing in it has changed.
func TestKeyringModes(t *testing.T) {
	path := keyFileOf(t, lineOf(1))
	k, j := keyringOf(t, path)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); err == nil {
		t.Skip("modes mean nothing here")
	}
	for range 2 {
		if k.look(false) || len(j.warnings()) != 1 {
			t.Errorf("warned %q", j.warnings())
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if k.look(false) || len(j.find("the key file can be used again")) != 1 {
		t.Error("mended, it is not taken")
	}
}

// The driver gets new keys within keysEvery, and at once after a hangup; keys that lack one in force are given it at the next look.
// The node is told and goes on.
func TestKeyringWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := keyFileOf(t, lineOf(1))
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		m := memberOf(t, lan.link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		hangups := make(chan os.Signal, 1)
		m.keys, _ = keyringOf(t, path)
		m.hangups = hangups
		var told []string
		m.heed = func(in node.Input) {
			if keys, ok := in.(node.Keys); ok {
				told = append(told, fmt.Sprintf("%v %s of %d", time.Since(lan.host.start), netproto.KeyName(keys.Ring.Newest()), len(keys.Ring.IDs())))
			}
		}
		m.start(ctx)
		watched := make(chan struct{})
		go func() { defer close(watched); m.keys.watch(ctx, m.hangups, m.rings, nil) }()
		change := func(keys ...byte) {
			var text string
			for _, b := range keys {
				text += lineOf(b) + "\n"
			}
			put(t, path, text)
			if err := os.Chtimes(path, time.Time{}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		change(2, 1) // seen at 3 s
		time.Sleep(3 * time.Second)
		change(3, 2, 1)
		hangups <- os.Interrupt
		time.Sleep(time.Second)
		change(2) // seen at 7 s and at 10 s
		time.Sleep(9 * time.Second)
		change(3) // half of a copy
		hangups <- os.Interrupt
		time.Sleep(settle / 2)
		hangups <- os.Interrupt
		time.Sleep(settle / 4)
		change(3, 2) // seen settle after the hangup before
		time.Sleep(time.Second)
		change(3)
		hangups <- os.Interrupt
		time.Sleep(10 * time.Second)
		endLAN(t, cancel, []*member{m})
		<-watched
		two, three := idOf(t, 2), idOf(t, 3)
		want := fmt.Sprintf("3s %s of 2, 4s %s of 3, 10s %s of 1, 14.15s %s of 2, 15.175s %s of 1", two, three, two, three, three)
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("the node was told %s, want %s", got, want)
		}
	})
}
