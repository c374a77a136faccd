package daemon

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"meantime/configs"
	"meantime/netproto"
)

// A key file is text that can be copied, mailed on paper and typed in again. Lines that begin with # say what they like; every other
// one is a key, the newest first:
//
//	mt1: and 58 letters and digits, which are base32 of the secret and its CRC-32
//
// The CRC tells a damaged or mistyped line from a key that is merely another one.
const (
	keyMark   = "mt1:"
	keyDigits = ((netproto.SecretLen+crc32.Size)*8 + 4) / 5
	// longestKeyFile is far more bytes than keys and comments ever take, so that a disk image named by mistake is not read.
	longestKeyFile = 16 << 10
	// replaceTime is far longer than replacing a file takes.
	replaceTime = time.Minute
	// keyGroup is the group that the service runs under, where its packages have made one.
	keyGroup = "meantime"
)

// keyHead is what a new key file begins with.
const keyHead = `# The keys of this LAN for meantime, the newest first. Whoever reads them can set the clocks of all its hosts.
# The same file on every host; meantime key --help tells how it is made, copied and changed.
`

// keyCode has no letters in upper case and none that look like a digit beside it.
var keyCode = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// What to do about a file without a key. A new key cuts a host off from a LAN that has one, so copying comes first.
const (
	alienFile = "this is no key file; a key line begins with " + keyMark + ": name another file, or copy the LAN's key file there"
	copyAgain = "copy it again from another host; only for a new LAN, remove it and make another"
)

// ErrKeyFile says that a key file cannot be used. The error says why and what to do, and never shows what is in the file.
var ErrKeyFile = errors.New("key file cannot be used")

// KeyFile is a key file as it was read or made.
type KeyFile struct {
	path string
	text []byte      // all of it, secrets too
	keys []keyLine   // newest first
	info fs.FileInfo // of the file that was read
}

// keyLine is a key and the line that it stands in, counted from 1.
type keyLine struct {
	netproto.Key
	line int
}

// Format shows the path, whatever the verb: no secret gets into a log by mistake.
func (k *KeyFile) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.path) }

// Path is where the file is.
func (k *KeyFile) Path() string { return k.path }

// IDs names the keys as logs do, newest first.
func (k *KeyFile) IDs() []string {
	var ids []string
	for _, key := range k.keys {
		ids = append(ids, key.String())
	}
	return ids
}

// Caution says who else may read the file, where meantime cannot see to that, and what lies beside it with keys in it; empty where there
// is nothing to say.
func (k *KeyFile) Caution() string {
	var all []string
	for _, text := range []string{keyCaution(k.path), leftoverCaution(leftovers(k.path))} {
		if text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, "\n")
}

// leftovers are files beside a key file that are called as those that were not renamed yet when a command or its host died. They are named
// and not removed: they may be somebody's copies.
func leftovers(path string) (list []string) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil // then there is nothing to be told
	}
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		if !ok || strings.Trim(number, "0123456789") != "" || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > replaceTime {
			list = append(list, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	return list
}

// leftoverCaution says what leftovers are.
func leftoverCaution(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "beside the key file lies what may hold keys, left by a command that was cut off: " + strings.Join(list, ", ") +
		": remove them if you have not put them there"
}

// KeyCommand is what does something to the keys of a file. It names the file unless that is the usual one.
func KeyCommand(verb, path string) string {
	if path == configs.Default().KeyFile {
		return "meantime key " + verb
	}
	return "meantime key " + verb + " --file " + shellWord(path)
}

// ring are the keys as the protocol uses them in a group.
func (k *KeyFile) ring(group string) (*netproto.Ring, error) {
	var keys []netproto.Key
	for _, key := range k.keys {
		keys = append(keys, key.Key)
	}
	return netproto.NewRing(netproto.GroupID(group), keys...)
}

// wipe overwrites the file's text in memory. What the runtime has copied elsewhere, a Go program cannot reach.
func (k *KeyFile) wipe() { clear(k.text) }

// ReadKeys reads a key file. Everything that can be wrong with it is an ErrKeyFile: it is missing, others than its owner and its group
// may read it, others than its owner may write it, or it holds something else than keys.
func ReadKeys(path string) (*KeyFile, error) {
	text, info, err := readKeyText(path)
	if err != nil {
		return nil, keyError(path, err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		clear(text)
		return nil, keyError(path, err)
	}
	return &KeyFile{path, text, keys, info}, nil
}

// keyError says which file, once, and what to do.
func keyError(path string, err error) error {
	switch inner, ok := errors.AsType[*fs.PathError](err); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s: %w (copy the LAN's key file there; only for a new LAN, `%s` makes one)", ErrKeyFile, path, fs.ErrNotExist,
			KeyCommand("new", path))
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w (%s)", fs.ErrPermission, admitMe(path))
	case ok:
		err = inner.Err
	}
	return fmt.Errorf("%w: %s: %w", ErrKeyFile, path, err)
}

// readKeyText reads the file's bytes. What is checked is the open file, so that nobody can put another one in its place meanwhile.
func readKeyText(path string) ([]byte, fs.FileInfo, error) {
	f, err := openKeyFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case info.IsDir():
		return nil, nil, errors.New("it is a folder: name the file that is in it")
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("it is no file but something else: name a file")
	}
	if err := checkKeyFile(path, info); err != nil {
		return nil, nil, err
	}
	text := make([]byte, longestKeyFile+1)
	n, err := io.ReadFull(f, text)
	switch {
	case err == nil:
		clear(text)
		return nil, nil, fmt.Errorf("it is longer than %d KiB: %s", longestKeyFile>>10, alienFile)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil, err
	}
	return bytes.TrimPrefix(text[:n], []byte("\ufeff")), info, nil // a mark that editors of Windows put there
}

// parseKeys reads the lines. An error names the line and what to do, but shows nothing of it.
func parseKeys(text []byte) ([]keyLine, error) {
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		return nil, errors.New("it holds zero bytes: it was saved as UTF-16 or is of another program: save it as plain text, or copy it again")
	case !utf8.Valid(text):
		return nil, errors.New("it holds bytes that are no text: " + alienFile)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("it is empty: " + copyAgain)
	}
	var keys []keyLine
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		twin := slices.IndexFunc(keys, func(k keyLine) bool { return k.ID() == key.ID() })
		switch {
		case twin >= 0:
			return nil, fmt.Errorf("line %d: it is the key of line %d again: remove one of the two", number, keys[twin].line)
		case len(keys) == netproto.MaxKeys:
			return nil, fmt.Errorf("line %d: %d keys stand above it already, and more are not held: remove the oldest, at the end",
				number, netproto.MaxKeys)
		}
		keys = append(keys, keyLine{key, number})
	}
	if len(keys) == 0 {
		return nil, errors.New("no key stands in it: " + copyAgain)
	}
	return keys, nil
}

// parseKey reads a line that holds a key. Only what formatKey writes is taken, in letters of either case.
func parseKey(line []byte) (netproto.Key, error) {
	code, ok := bytes.CutPrefix(bytes.ToLower(line), []byte(keyMark))
	defer clear(code)
	if !ok {
		return netproto.Key{}, errors.New("it is no key: a key begins with " + keyMark + ", and a comment with #")
	}
	if len(code) != keyDigits {
		return netproto.Key{}, fmt.Errorf("it is %d characters long after %s, not %d: copy it again, whole", len(code), keyMark, keyDigits)
	}
	raw := make([]byte, keyCode.DecodedLen(keyDigits))
	defer clear(raw)
	_, err := keyCode.Decode(raw, code)
	secret := raw[:netproto.SecretLen]
	proper := formatKey(secret) // with the CRC that the secret should have
	defer clear(proper)
	if err != nil || !bytes.Equal(proper[len(keyMark):], code) {
		return netproto.Key{}, errors.New("it is damaged or mistyped: copy it again")
	}
	return netproto.NewKey(secret)
}

// formatKey is the line of a secret.
func formatKey(secret []byte) []byte {
	raw := binary.BigEndian.AppendUint32(slices.Clone(secret), crc32.ChecksumIEEE(secret))
	defer clear(raw)
	return keyCode.AppendEncode([]byte(keyMark), raw)
}

// freshKey is the line of a new secret from the system's randomness.
func freshKey() []byte {
	var secret [netproto.SecretLen]byte
	defer clear(secret[:])
	_, _ = rand.Read(secret[:]) // documented never to return an error
	return append(formatKey(secret[:]), '\n')
}

// MakeKeys makes a key file with one new key, and its folder. A file that is there already is left alone: an fs.ErrExist.
func MakeKeys(path string) (*KeyFile, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w: `%s` shows what it holds, and `%s` adds a new key", path, fs.ErrExist, KeyCommand("list", path),
			KeyCommand("rotate", path))
	}
	if err := makeKeyFolder(filepath.Dir(path)); err != nil {
		return nil, writeError(path, fmt.Errorf("its folder: %w", err))
	}
	key := freshKey()
	defer clear(key)
	text := slices.Concat([]byte(keyHead), key)
	defer clear(text)
	dress := func(f *os.File) error { return dressKeyFile(f, nil) }
	move := func(from, to string) error { // unlike a rename, a link replaces nothing
		return errors.Join(os.Link(from, to), os.Remove(from))
	}
	if err := replaceFile(path, text, dress, move); err != nil {
		return nil, writeError(path, err)
	}
	return ReadKeys(path)
}

// writeError names the file that was to be written, not the one beside it that was to take its place.
func writeError(path string, err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok && filepath.Dir(inner.Path) == filepath.Dir(path) {
		err = inner.Err
	}
	if inner, ok := errors.AsType[*os.LinkError](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("writing %s: %w (run it as root, or name with --file a file where you may write)", path, err)
}

// makeKeyFolder makes a folder, but not those above it, that everybody may enter: the file guards itself, and the service's user has
// to get there.
func makeKeyFolder(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask
}

// RotateKeys puts a new key in front of a file's others: it is sent under as soon as everybody holds it.
func RotateKeys(path string) (*KeyFile, error) { return changeKeys(path, (*KeyFile).rotate) }

// RetireKeys drops all of a file's keys but the newest: whoever does not hold that one is no longer heard.
func RetireKeys(path string) (*KeyFile, error) { return changeKeys(path, (*KeyFile).retire) }

// errKeysHeld says that another command got to a key file first: what it writes would be lost.
var errKeysHeld = errors.New("another command is changing it: run this one again")

// changeKeys reads a file, changes it, and reads what was written. Nobody else changes it meanwhile.
func changeKeys(path string, change func(*KeyFile) error) (*KeyFile, error) {
	release, err := lockKeys(path)
	if err != nil {
		return nil, keyError(path, err)
	}
	defer release()
	k, err := ReadKeys(path)
	if err != nil {
		return nil, err
	}
	defer k.wipe()
	if err := change(k); err != nil {
		return nil, err
	}
	return ReadKeys(path)
}

func (k *KeyFile) rotate() error {
	if len(k.keys) == netproto.MaxKeys {
		return fmt.Errorf("%s holds %d keys already, and more are not held: `%s` drops all but the newest", k.path, netproto.MaxKeys,
			KeyCommand("retire", k.path))
	}
	key := freshKey()
	defer clear(key)
	return k.rewrite(slices.Insert(slices.Collect(bytes.Lines(k.text)), k.keys[0].line-1, key))
}

func (k *KeyFile) retire() error {
	if len(k.keys) == 1 {
		return fmt.Errorf("%s holds one key only: there is none to retire", k.path)
	}
	lines := slices.Collect(bytes.Lines(k.text))
	for _, old := range slices.Backward(k.keys[1:]) {
		lines = slices.Delete(lines, old.line-1, old.line)
	}
	return k.rewrite(lines)
}

// rewrite replaces the file. Owner, group and mode stay, and so do the comments.
func (k *KeyFile) rewrite(lines [][]byte) error {
	text := bytes.Join(lines, nil)
	defer clear(text)
	path, err := filepath.EvalSymlinks(k.path) // the link stays, too
	if err == nil {
		err = replaceFile(path, text, func(f *os.File) error { return dressKeyFile(f, k.info) }, os.Rename)
	}
	if err != nil {
		return writeError(k.path, err)
	}
	return nil
}
