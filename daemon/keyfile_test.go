package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"meantime/netproto"
)

// secretOf is the secret of 32 equal bytes.
func secretOf(b byte) []byte { return bytes.Repeat([]byte{b}, netproto.SecretLen) }

// lineOf is its line.
func lineOf(b byte) string { return string(formatKey(secretOf(b))) }

// idOf is its name.
func idOf(t testing.TB, b byte) string {
	t.Helper()
	key, err := netproto.NewKey(secretOf(b))
	if err != nil {
		t.Fatal(err)
	}
	return key.String()
}

// keyFileOf writes a key file.
func keyFileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	put(t, path, text)
	return path
}

// TestKeyLine: the line of a known secret is what other versions wrote.
func TestKeyLine(t *testing.T) {
	for b, want := range map[byte]string{
		0:    "mt1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabscsvvu",
		0xa5: "mt1:uws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuwsxoxzpqu",
	} {
		if got := lineOf(b); got != want {
			t.Errorf("%02x: %s", b, got)
		}
	}
}

// What people and editors do to a file is no damage.
func TestParseKeys(t *testing.T) {
	a, b, c, d := lineOf(1), lineOf(2), lineOf(3), lineOf(4)
	for text, want := range map[string][]byte{
		a:                                  {1},
		a + "\n":                           {1},
		"# ours\n\n" + a + "\n" + b + "\n": {1, 2},
		" " + a + " \r\n\t" + b + "\r\n":   {1, 2},
		strings.ToUpper(a):                 {1},
		a + "\n#\n" + b + "\n" + c + "\n" + d + "\n": {1, 2, 3, 4},
	} {
		keys, err := parseKeys([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for _, k := range keys {
			got = append(got, k.String())
		}
		var ids []string
		for _, b := range want {
			ids = append(ids, idOf(t, b))
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%q: %v, want %v", text, got, ids)
		}
	}
}

// Each thing that is wrong is named with its line and what to do, and nothing of a secret is shown.
func TestParseKeysRefused(t *testing.T) {
	key := lineOf(1)
	for name, tt := range map[string]struct{ text, want string }{
		"empty":              {"", "it is empty: copy it again"},
		"blank":              {" \n\n", "it is empty: copy it again"},
		"comments alone":     {"# a\n#b", "no key stands in it"},
		"zeros":              {strings.Repeat("\x00", 100), "zero bytes"},
		"UTF-16":             {"\xff\xfem\x00t\x001\x00:\x00", "UTF-16"},
		"binary":             {"\x7fELF\xff\xfe", "no text"},
		"PEM":                {"-----BEGIN PRIVATE KEY-----\nMIIE\n", "line 1: it is no key: a key begins with mt1:"},
		"another version":    {"mt2" + key[3:], "line 1: it is no key"},
		"no mark":            {key[4:], "line 1: it is no key"},
		"truncated":          {"#\n" + key[:40] + "\n", "line 2: it is 36 characters long after mt1:, not 58"},
		"one less":           {key[:len(key)-1], "not 58: copy it again"},
		"one more":           {key + "a", "line 1: it is 59 characters"},
		"mark alone":         {"mt1:", "line 1: it is 0 characters"},
		"mistyped":           {key[:10] + "b" + key[11:], "line 1: it is damaged or mistyped"},
		"swapped":            {strings.Replace(lineOf(9), "bee", "ebe", 1), "line 1: it is damaged or mistyped"},
		"not of the letters": {key[:10] + "1" + key[11:], "line 1: it is damaged or mistyped"},
		"other last bits":    {key[:len(key)-1] + string(key[len(key)-1]+1), "line 1: it is damaged or mistyped"},
		"words behind":       {key + " # newest", "line 1: it is 67 characters"},
		"twice":              {key + "\n# \n" + key, "line 3: it is the key of line 1 again"},
		"five": {key + "\n" + lineOf(2) + "\n" + lineOf(3) + "\n" + lineOf(4) + "\n" + lineOf(5),
			"line 5: 4 keys stand above it already"},
		"second line wrong": {key + "\nhello", "line 2: it is no key"},
	} {
		keys, err := parseKeys([]byte(tt.text))
		if err == nil || keys != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v", name, keys, err)
			continue
		}
		discreet(t, err.Error(), tt.text)
	}
}

// discreet sees that no eight characters of a text, comments apart, are told.
func discreet(t *testing.T, said, text string) {
	t.Helper()
	for word := range strings.FieldsSeq(text) {
		word = strings.TrimPrefix(strings.ToLower(word), keyMark)
		for i := 0; i+8 <= len(word); i++ {
			if strings.Contains(strings.ToLower(said), word[i:i+8]) {
				t.Errorf("%q shows %q of the file", said, word[i:i+8])
				return
			}
		}
	}
}

// A typing error of up to two letters, or any two neighbours swapped, is always seen.
func TestKeyLineDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	for range 5000 {
		secret := make([]byte, netproto.SecretLen)
		for i := range secret {
			secret[i] = byte(r.Uint32())
		}
		whole := formatKey(secret)
		bad := slices.Clone(whole)
		for range 1 + r.IntN(2) {
			bad[len(keyMark)+r.IntN(keyDigits)] = letters[r.IntN(len(letters))]
		}
		if r.IntN(3) == 0 {
			bad = slices.Clone(whole)
			i := len(keyMark) + r.IntN(keyDigits-1)
			bad[i], bad[i+1] = bad[i+1], bad[i]
		}
		if _, err := parseKey(bad); (err == nil) != bytes.Equal(bad, whole) {
			t.Fatalf("%s read as %s: %v", bad, whole, err)
		}
	}
}

// FuzzKeys: whatever a file holds, it is read or refused with a reason that shows nothing of it; what is read can be written and
// is then the same.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"", "#\n", lineOf(1), strings.ToUpper(lineOf(2)) + "\r\n" + lineOf(3), keyHead + lineOf(4) + "\n",
		lineOf(1)[:30], lineOf(1) + "\n" + lineOf(1), "\x00", "\xff\xfe", "-----BEGIN"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil {
			if keys != nil || err.Error() == "" || len(err.Error()) > 300 {
				t.Errorf("%v, %q", keys, err)
			}
			return
		}
		if len(keys) == 0 || len(keys) > netproto.MaxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		lines := slices.Collect(bytes.Lines(text))
		var again []byte
		for _, k := range keys {
			again = append(append(again, lines[k.line-1]...), '\n')
		}
		second, err := parseKeys(again)
		if err != nil || len(second) != len(keys) {
			t.Fatalf("%v, read again %v, %v", keys, second, err)
		}
		for i := range keys {
			if keys[i].ID() != second[i].ID() {
				t.Errorf("%v, read again %v", keys, second)
			}
		}
	})
}

// A new key file is for nobody else, is never written over another, and is read again; its folder is made.
func TestMakeKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "key")
	k, err := MakeKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadKeys(path)
	if err != nil || len(read.IDs()) != 1 || read.IDs()[0] != k.IDs()[0] || read.Path() != path {
		t.Errorf("made %v, read %v, %v", k.IDs(), read.IDs(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(before), keyHead) {
		t.Errorf("it holds %q, %v", before, err)
	}
	if _, err := MakeKeys(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "key rotate") {
		t.Errorf("over another: %v", err)
	}
	if after, err := os.ReadFile(path); !bytes.Equal(before, after) || err != nil {
		t.Error("the key was replaced")
	}
	if list := files(t, filepath.Dir(path)); list != "key" {
		t.Errorf("the folder holds %s", list)
	}
	other, err := MakeKeys(filepath.Join(t.TempDir(), "key"))
	if err != nil || other.IDs()[0] == k.IDs()[0] {
		t.Errorf("two new keys are one: %v, %v", other.IDs(), err)
	}
	if _, err := MakeKeys(filepath.Join(t.TempDir(), "a", "b", "key")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--file") {
		t.Errorf("two folders missing: %v", err)
	}
}

// Rotating adds in front, retiring drops all but that, and what people wrote beside the keys stays.
func TestRotateAndRetire(t *testing.T) {
	path := keyFileOf(t, "\ufeff# hall 3\r\n"+lineOf(1)+"\r\n# of last year\n"+lineOf(2)) // no line end
	k, err := RotateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if ids := k.IDs(); len(ids) != 3 || ids[1] != idOf(t, 1) || ids[2] != idOf(t, 2) || slices.Contains(ids[1:], ids[0]) {
		t.Errorf("rotated to %v", ids)
	}
	if k, err = RotateKeys(path); err != nil {
		t.Fatal(err)
	}
	if _, err := RotateKeys(path); err == nil || !strings.Contains(err.Error(), "key retire") {
		t.Errorf("a fifth key: %v", err)
	}
	one, err := RetireKeys(path)
	if err != nil || !slices.Equal(one.IDs(), k.IDs()[:1]) {
		t.Errorf("%v retired to %v, %v", k.IDs(), one.IDs(), err)
	}
	if _, err := RetireKeys(path); err == nil {
		t.Error("the last key was retired")
	}
	got, err := os.ReadFile(path)
	if got = regexp.MustCompile(`mt1:\w+`).ReplaceAll(got, []byte("KEY")); string(got) != "# hall 3\r\nKEY\n# of last year\n" || err != nil {
		t.Errorf("it holds %q, %v", got, err)
	}
	if list := files(t, filepath.Dir(path)); list != "key" {
		t.Errorf("the folder holds %s", list)
	}
}

// Of commands that change a file at one time, each either adds its key or says that it did not.
func TestRotateTogether(t *testing.T) {
	path := keyFileOf(t, lineOf(1))
	for range 30 {
		put(t, path, lineOf(1)+"\n")
		var errs [2]error
		var both sync.WaitGroup
		for i := range errs {
			both.Go(func() { _, errs[i] = RotateKeys(path) })
		}
		both.Wait()
		added := 0
		for _, err := range errs {
			switch {
			case err == nil:
				added++
			case !errors.Is(err, errKeysHeld) || !errors.Is(err, ErrKeyFile):
				t.Error(err)
			}
		}
		if k, err := ReadKeys(path); err != nil || added == 0 || len(k.IDs()) != 1+added {
			t.Fatalf("%d keys were added, it holds %v, %v", added, k.IDs(), err)
		}
	}
	release, err := lockKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateKeys(path); !errors.Is(err, errKeysHeld) || !strings.Contains(err.Error(), "again") {
		t.Errorf("beside another command: %v", err)
	}
	release()
	if _, err := RetireKeys(path); err != nil {
		t.Error(err)
	}
}

// A link to the file stays one.
func TestRotateThroughLink(t *testing.T) {
	path := keyFileOf(t, lineOf(1))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	if _, err := RotateKeys(link); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if behind, err := ReadKeys(path); err != nil || len(behind.IDs()) != 2 {
		t.Errorf("%v, %v", behind.IDs(), err)
	}
}

// What is no file, or no file of keys, is refused with its path and what to do.
func TestReadKeysRefused(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	put(t, long, "#"+strings.Repeat("x", longestKeyFile)+"\n"+lineOf(1))
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):          "copy the LAN's key file there; only for a new LAN, `meantime key new --file ",
		filepath.Join(long, "in", "a file"): "",
		dir:                                 "it is a folder",
		long:                                "longer than 16 KiB",
		keyFileOf(t, ""):                    "it is empty",
		keyFileOf(t, lineOf(7)[:50]):        "line 1: ",
	} {
		k, err := ReadKeys(path)
		if k != nil || !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), want) ||
			strings.Count(strings.Replace(err.Error(), KeyCommand("new", path), "", 1), path) != 1 {
			t.Errorf("%s: %v", path, err)
		}
		discreet(t, strings.ReplaceAll(err.Error(), path, ""), lineOf(7))
	}
	if _, err := ReadKeys(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is missing: %v", err)
	}
}

// However a key file gets into a message, no secret does.
func TestKeyFileIsDiscreet(t *testing.T) {
	k, err := ReadKeys(keyFileOf(t, lineOf(7)))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		discreet(t, fmt.Sprintf(verb, k), lineOf(7))
	}
	k.wipe()
	if strings.Trim(string(k.text), "\x00") != "" {
		t.Error("the text is still there")
	}
}
