package daemon

import (
	"fmt"
	"log/slog"
	"os/user"
	"path/filepath"
	"strconv"

	"meantime/configs"
	"meantime/daemon/confine"
)

// processList is where rivals are looked for.
var processList = []string{"/proc"}

// descend starts this program again as the configured user, if root runs it on a real clock. What only root can do is done before: the
// folders are handed over, and processes are looked at by their executables. What is read later must be open to the user's group.
func descend(cfg configs.Config, log *slog.Logger) error {
	if cfg.DryRun || cfg.User == "" || !confine.IsRoot() {
		return nil
	}
	account, err := user.Lookup(cfg.User)
	if err != nil && cfg.User == configs.Default().User {
		log.Warn("staying root: there is no such user", "user", cfg.User,
			"do", "create it (useradd --system "+cfg.User+"), name another with user, or say user: \"\" to stay root without this line")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w (create that user, or name another with user or --user)", confine.ErrAccount, err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return fmt.Errorf("%w: the id of user %s: %w", confine.ErrAccount, cfg.User, err)
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return fmt.Errorf("%w: the group of user %s: %w", confine.ErrAccount, cfg.User, err)
	}
	if !cfg.Beside {
		if err := alone(rivals, false, log); err != nil {
			return err
		}
	}
	for _, dir := range []string{cfg.StateDir, filepath.Dir(lockPath())} {
		if err := confine.Give(dir, uid, gid, ours); err != nil {
			return fmt.Errorf("%w: giving it the folder: %w", confine.ErrAccount, err)
		}
	}
	log.Info("going on as another user", "user", cfg.User, "uid", uid, "gid", gid)
	return confine.Become(uid, gid)
}
