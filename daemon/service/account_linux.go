package service

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"meantime/configs"
)

// hasAccount says whether there is a user of that name.
func hasAccount(name string) bool {
	_, err := user.Lookup(name)
	return err == nil
}

// dropViewers removes the group of who may look, if there is one, by a tool.
func dropViewers(l *ledger, tool string) error {
	name := configs.Default().ControlGroup
	if _, err := user.LookupGroup(name); err != nil {
		return nil
	}
	return l.do(tool+" "+name, quiet(tool, name), nil)
}

// shareFile lets a group read a file of root's.
func shareFile(path, group string) error {
	g, err := user.LookupGroup(group)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("the id of group %s: %w", group, err)
	}
	return errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o640))
}
