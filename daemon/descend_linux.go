package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"path/filepath"
	"strconv"

	"meantime/configs"
	"meantime/daemon/confine"
)

// processList is where rivals are looked for.
var processList = []string{"/proc", groupList}

// descend starts this program again as the configured user, if root runs it on a real clock. What only root can do is done before: the
// folders are handed over, and processes are looked at by their executables. What is read later must be open to the user's group.
func descend(cfg configs.Config, log *slog.Logger) error {
	if cfg.DryRun || cfg.User == "" || !confine.IsRoot() {
		return nil
	}
	return goOnAs(cfg, log)
}

// goOnAs starts this program again as the configured user. It returns nil only where root is to stay.
func goOnAs(cfg configs.Config, log *slog.Logger) error {
	uid, gid, err := account(cfg.User, user.Lookup)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown && cfg.User == configs.Default().User {
		log.Warn("staying root: there is no such user", "user", cfg.User,
			"do", "create it (useradd --system "+cfg.User+"), name another with user, or say user: \"\" to stay root without this line")
		return nil
	}
	if err != nil {
		return err
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
	groups := []int{}
	if viewers, err := groupID(cfg.ControlGroup); err != nil {
		return err
	} else if viewers != nobody {
		groups = append(groups, viewers) // to hand the control socket to it
	}
	log.Info("going on as another user", "user", cfg.User, "uid", uid, "gid", gid)
	return confine.Become(uid, gid, groups...)
}

// account are the ids of a user that is not root. Only where lookup knows that there is none is the error a user.UnknownUserError.
func account(name string, lookup func(string) (*user.User, error)) (uid, gid int, err error) {
	found, err := lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return 0, 0, fmt.Errorf("%w: %w (create that user, or name another with user or --user)", confine.ErrAccount, err)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: looking up user %s: %w (mend /etc/passwd or what else tells of users, or say user: \"\" to stay root)",
			confine.ErrAccount, name, err)
	}
	uid, err = strconv.Atoi(found.Uid)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: the id of user %s: %w", confine.ErrAccount, name, err)
	}
	gid, err = strconv.Atoi(found.Gid)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: the group of user %s: %w", confine.ErrAccount, name, err)
	}
	if uid == 0 {
		return 0, 0, fmt.Errorf("%w: user %s is root, and that is no way down: say user: \"\" to stay root, or name another user",
			confine.ErrAccount, name)
	}
	return uid, gid, nil
}
