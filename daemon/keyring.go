package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"meantime/configs"
	"meantime/netproto"
)

// keysEvery is how often a running daemon looks whether its key file is another one. A look costs one system call.
const keysEvery = 3 * time.Second

// settle is how long a file that lacks keys in force has to stay the very same until it is taken: cp and scp write in place, and what
// is missing may be on its way. Such a copy is of one write or two, and takes less than a millisecond.
const settle = 100 * time.Millisecond

// ErrNoKey says that there is no key, and that nobody has said that a real clock may do without.
var ErrNoKey = errors.New("there is no key, so anyone on the network could set this clock")

// keyring is the key file of a running daemon.
type keyring struct {
	path, group string
	log         *slog.Logger
	info        fs.FileInfo // of the file whose keys are in force
	ids         []string    // of these keys
	ring        *netproto.Ring
	trouble     string // what was wrong with the file at the last look, and is known to the log

	partial fs.FileInfo // of a file that lacks keys in force and may be half of one; nil = there is none
	seen    time.Time   // when it was seen first
}

// openKeys reads the keys that a configuration asks for. It is nil where none are to be used: insecure says so, and a dry run that names
// no file does without where the usual one cannot be used.
func openKeys(cfg configs.Config, log *slog.Logger) (*keyring, error) {
	usual := cfg.KeyFile == configs.Default().KeyFile
	if cfg.Insecure {
		warnInsecure(cfg, usual, log)
		return nil, nil
	}
	k := &keyring{path: cfg.KeyFile, group: cfg.Group, log: log}
	_, err := k.read()
	switch {
	case err == nil:
		if rest := leftovers(cfg.KeyFile); len(rest) > 0 {
			log.Warn(leftoverCaution(rest))
		}
		return k, nil
	case cfg.DryRun && usual:
		log.Info("dry run without a key: it hears only nodes that have none either", "because", err)
		return nil, nil
	case !cfg.DryRun && errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return nil, err
}

// CheckKeys says why a daemon could not use the keys that a configuration asks for; nil also where it asks for none.
func CheckKeys(cfg configs.Config) error {
	_, err := Keys(cfg)
	return err
}

// Keys are those that a daemon would use by a configuration: nil, the null key, where it asks for none.
func Keys(cfg configs.Config) (*netproto.Ring, error) {
	k, err := openKeys(cfg, slog.New(slog.DiscardHandler))
	return k.held(), err
}

// warnInsecure says at each start what insecure means, and that it wins over a key.
func warnInsecure(cfg configs.Config, usual bool, log *slog.Logger) {
	if !cfg.DryRun {
		log.Warn("insecure: packets are not authenticated, anyone on this network can move this clock")
	}
	if _, err := os.Stat(cfg.KeyFile); err == nil || !usual {
		log.Warn("insecure: the key file is not used; nodes that use it are not heard", "file", cfg.KeyFile)
	}
}

// held are the keys at the start: nil is the null key.
func (k *keyring) held() *netproto.Ring {
	if k == nil {
		return nil
	}
	return k.ring
}

// read takes the keys of the file, unless it may be half of one. changed is false where the keys in force stay.
func (k *keyring) read() (changed bool, err error) {
	file, err := ReadKeys(k.path)
	if err != nil {
		return false, err
	}
	defer file.wipe()
	ring, err := file.ring(k.group)
	if err != nil {
		return false, keyError(k.path, err)
	}
	if !k.settled(file) {
		return false, nil
	}
	changed = !slices.Equal(k.ids, file.IDs())
	k.info, k.ids, k.ring = file.info, file.IDs(), ring
	return changed, nil
}

// settled says whether a file has all the keys that are in force, or was the very same settle ago.
func (k *keyring) settled(file *KeyFile) bool {
	ids := file.IDs()
	lacks := slices.ContainsFunc(k.ids, func(id string) bool { return !slices.Contains(ids, id) })
	if lacks && (k.partial == nil || !sameFile(file.info, k.partial)) {
		k.partial, k.seen = file.info, time.Now()
	}
	if lacks && time.Since(k.seen) < settle {
		return false
	}
	k.partial = nil
	return true
}

// look reads the file again if it is another one than before, or may have been mended, or is to be read anyhow. What is wrong with it
// is told once, and changes nothing.
func (k *keyring) look(anyhow bool) (changed bool) {
	info, err := os.Stat(k.path)
	if err == nil && k.trouble == "" && !anyhow && sameFile(info, k.info) {
		return false
	}
	changed, err = k.read()
	switch {
	case err != nil && err.Error() != k.trouble:
		k.trouble = err.Error()
		k.log.Warn("the key file has changed and is not taken: the keys read before stay in force", "err", err)
	case k.partial != nil: // the next look tells
	case err == nil && k.trouble != "":
		k.trouble = ""
		k.log.Info("the key file can be used again", "file", k.path)
	case err == nil && anyhow && !changed:
		k.log.Info("the key file was read again and holds the same keys", "file", k.path)
	}
	return changed
}

// sameFile says whether nothing was done to a file, as far as its directory entry tells.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

// watch looks at the file now and then, and when hangups says so, until ctx ends. The driver gets what has changed, and whoever asked
// for it hears when that is done.
func (k *keyring) watch(ctx context.Context, hangups <-chan os.Signal, rings chan<- *netproto.Ring, notify *notifier) {
	wait := keysEvery
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			asked = true
			notify.reloading()
		case <-time.After(wait):
		}
		changed := k.look(asked)
		wait = keysEvery
		if asked && k.partial != nil {
			wait = settle
		}
		if changed {
			select {
			case rings <- k.ring:
			case <-ctx.Done():
				return
			}
		}
		if asked {
			if err := notify.ready(); err != nil {
				k.log.Warn("nobody is told that the key file was read again", "err", err)
			}
		}
	}
}

// hearHangups lets SIGHUP ask for the key file, where there is such a signal, so that it ends nobody. deafen ends that.
func hearHangups() (hangups <-chan os.Signal, deafen func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// keyName shows a key id, and the null key as what it is.
func keyName(id uint32) string {
	if id == 0 {
		return "none"
	}
	return netproto.KeyName(id)
}
