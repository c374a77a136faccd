package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"meantime/configs"
	"meantime/daemon/confine"
)

// Version is the program's, for whoever asks the daemon.
var Version = "(devel)"

// collectAt (per cent) is how much a daemon's heap grows before it is collected, unless GOGC says otherwise. Go's own 100 means 4 MB at
// least, of which a node uses one: it saves 2 MiB of an idle node's 22, and a node makes garbage too slowly for the rest to show.
const collectAt = 40

// thrifty has Go's runtime take less of the machine than it does by itself, unless its own variables of the environment say otherwise. One
// processor is enough: a master of ten thousand takes part of one. With more, threads wake each other at each packet and find
// nothing to do.
func thrifty() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// Main is Run for a process that does nothing else. Of root it becomes the service's user before anything is opened, and once all is, it
// gives up for good what it does not need any more (configs.Config.Confine). Then it calls up.
func Main(ctx context.Context, cfg configs.Config, log *slog.Logger, up func()) error {
	if err := descend(cfg, log); err != nil {
		return err
	}
	thrifty()
	confine.TightFiles()
	if err := confine.NoCoreDumps(); err != nil { // before the first secret is read
		return err
	}
	if !cfg.Confine {
		log.Warn("not confined: this process keeps all the rights of its user, as confine: false says")
	}
	return run(ctx, cfg, log, func(cfg configs.Config, log *slog.Logger) error {
		if cfg.Confine {
			if err := enclose(cfg, log); err != nil {
				return err
			}
		}
		up()
		shed()
		return nil
	})
}

// enclose gives up what a node that has started does not need, and tells in one line what is in force.
func enclose(cfg configs.Config, log *slog.Logger) error {
	r, err := confine.Enter(needs(cfg))
	if err != nil {
		return fmt.Errorf("confining this process: %w (confine: false runs it as it is)", err)
	}
	capabilities := r.Capabilities
	if capabilities == "" {
		capabilities = "none"
	}
	args := []any{"capabilities", capabilities, "no_new_privileges", r.NoNewPrivs, "core_dumps", r.CoreDumps,
		"landlock", r.Landlock, "denied_calls", r.DeniedCalls}
	if len(r.Lacks) > 0 {
		args = append(args, "lacks", strings.Join(r.Lacks, "; "))
	}
	log.Info("confined", args...)
	return nil
}

// needs is what a node still opens after its start: what is known of itself, its state, the key file, which may be another one in the same
// place by then, and, beside a real clock, the list of processes. Sockets, lock and trace are open.
func needs(cfg configs.Config) confine.Plan {
	p := confine.Plan{Clock: !cfg.DryRun, Read: slices.Clone(ownProcess)}
	if dir := stateDir(cfg); dir != "" {
		p.Write = append(p.Write, dir)
	}
	if !cfg.Insecure {
		p.Read = append(p.Read, filepath.Dir(cfg.KeyFile))
		if target, err := filepath.EvalSymlinks(cfg.KeyFile); err == nil { // a link leads into another folder
			p.Read = append(p.Read, filepath.Dir(target))
		}
	}
	if path := socketPath(cfg); path != "" { // it is taken away at the end
		p.Write = append(p.Write, filepath.Dir(path))
	}
	if !cfg.DryRun {
		p.Read = append(p.Read, processList...)
	}
	return p
}

// ours says whether a file in the state directory, or beside the lock, is one of this program's.
func ours(name string) bool {
	base, _, _ := strings.Cut(name, ".") // a file that was not renamed yet has a number behind a dot
	return slices.Contains([]string{idFile, termFile, bootFile, driftFile}, base) || name == lockName || base == configs.SocketName
}
