package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"

	kardianos "github.com/kardianos/service"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"meantime/configs"
)

// scm is Windows' service manager. kardianos' library makes and removes the service and its source in the event log; what that has no
// words for (an account's privileges, restarts, who may read the key) is set here.
type scm struct{}

func newManager() (Manager, error) { return scm{}, nil }

const (
	servicesKey = `SYSTEM\CurrentControlSet\Services\`
	// deedLimit is how long a service may take to start or to stop: longer than it gives itself (stopLimit).
	deedLimit = 30 * time.Second
	// deedLook is how often its state is asked for meanwhile.
	deedLook = 100 * time.Millisecond
	// failureReset (s) is how long a service must have run for its next failure to count as the first one: a day.
	failureReset = 86400
)

// restarts after the first, the second and each further failure. It is never given up: what is wrong may be mended from outside,
// such as a network that comes up late, or the key.
var restarts = []mgr.RecoveryAction{
	{Type: mgr.ServiceRestart, Delay: time.Second}, {Type: mgr.ServiceRestart, Delay: 5 * time.Second},
	{Type: mgr.ServiceRestart, Delay: time.Minute},
}

// Install makes the service, the folders and who may look into them.
func (scm) Install(o Options) ([]Change, error) {
	program, err := programPath(o.Program)
	if err != nil {
		return nil, err
	}
	there, err := found(Name, program)
	if err != nil && !o.Force {
		return nil, err
	}
	l := &ledger{dry: o.DryRun}
	changes, err := l.done(install(l, program, there, err == nil, o))
	return changes, rights(err)
}

// install does what Install says. there says that a service of this name is there, and alike that it is as it would be made.
func install(l *ledger, program string, there, alike bool, o Options) error {
	if there && alike {
		l.keep(configDir())
		l.note(Keep, "the service "+Name, "")
		return restrain(l, o)
	}
	for _, f := range []struct{ path, access string }{{configDir(), configAccess()}, {configs.Default().StateDir, stateAccess()}} {
		if err := l.create(f.path, 0o700); err != nil {
			return err
		}
		err := l.do("close "+f.path+" to others: "+f.access, func() error { return protect(f.path, f.access) }, nil)
		if err != nil {
			return err
		}
	}
	does := imagePath(program) + " as " + localService + ", at boot"
	do, back := func() error { return known(program, kardianos.Service.Install) }, remove
	if there {
		does, do, back = "change it to "+does, func() error { return rewrite(program) }, nil
	}
	if err := l.do("the service "+Name+", and its source in the event log: "+does, do, back); err != nil {
		return err
	}
	if err := l.do("its privileges, "+strings.Join(privileges, " and ")+"; its restarts after a failure", configure, nil); err != nil {
		return err
	}
	return restrain(l, o)
}

// imagePath is the command line of the service.
func imagePath(program string) string { return syscall.EscapeArg(program) + " run --" + Managed }

// found says whether the service is there, with an error where it is another one than Install would make. The registry tells everybody.
func found(name, program string) (bool, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, servicesKey+name, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the service %s: %w", name, err)
	}
	defer k.Close()
	path, _, _ := k.GetStringValue("ImagePath") // what is not there differs
	account, _, _ := k.GetStringValue("ObjectName")
	start, _, _ := k.GetIntegerValue("Start")
	if path != imagePath(program) || !strings.EqualFold(account, localService) || start != mgr.StartAutomatic {
		return true, fmt.Errorf("%w: the service %s runs %s as %s, start type %d, where it would run %s as %s, start type %d "+
			"(--force makes it so)", ErrEdited, name, path, account, start, imagePath(program), localService, mgr.StartAutomatic)
	}
	return true, nil
}

// protect sets who may do what with a folder and all in it.
func protect(path, access string) error {
	sd, err := windows.SecurityDescriptorFromString(access)
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
}

// known does something with the service as kardianos' library knows it.
func known(program string, do func(kardianos.Service) error) error {
	s, err := kardianos.New(nil, &kardianos.Config{
		Name: Name, DisplayName: displayName, Description: description, UserName: localService,
		Executable: program, Arguments: []string{"run", "--" + Managed},
	})
	if err != nil {
		return err
	}
	return do(s)
}

// remove takes the service and its source in the event log away.
func remove() error { return known("", kardianos.Service.Uninstall) }

// rewrite makes a service of the same name ours.
func rewrite(program string) error {
	return withService(Name, windows.SERVICE_CHANGE_CONFIG, func(s *mgr.Service) error {
		var texts [4]*uint16
		for i, text := range []string{imagePath(program), localService, "", displayName} {
			var err error
			if texts[i], err = windows.UTF16PtrFromString(text); err != nil {
				return err
			}
		}
		return windows.ChangeServiceConfig(s.Handle, windows.SERVICE_WIN32_OWN_PROCESS, mgr.StartAutomatic, mgr.ErrorNormal,
			texts[0], nil, nil, nil, texts[1], texts[2], texts[3])
	})
}

// configure sets what this Windows keeps of it: wine knows none of it, and says so.
func configure() error {
	const access = windows.SERVICE_CHANGE_CONFIG | windows.SERVICE_START // restarts want the latter
	return withService(Name, access, func(s *mgr.Service) error {
		list := windows.StringToUTF16(strings.Join(privileges, "\n") + "\n")
		for i, unit := range list {
			if unit == '\n' {
				list[i] = 0
			}
		}
		wanted := struct{ names *uint16 }{&list[0]} // SERVICE_REQUIRED_PRIVILEGES_INFO
		sid := uint32(windows.SERVICE_SID_TYPE_UNRESTRICTED)
		for _, err := range []error{
			windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, (*byte)(unsafe.Pointer(&wanted))),
			windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_SERVICE_SID_INFO, (*byte)(unsafe.Pointer(&sid))),
			s.SetRecoveryActions(restarts, failureReset),
			s.SetRecoveryActionsOnNonCrashFailures(true),
		} {
			if err != nil && !errors.Is(err, windows.ERROR_INVALID_LEVEL) {
				return err
			}
		}
		return nil
	})
}

// Uninstall stops the service, gives Windows its time service back and takes the service away.
func (m scm) Uninstall(o Options) ([]Change, error) {
	status, err := m.Status()
	if err != nil {
		return nil, err
	}
	l := &ledger{dry: o.DryRun}
	changes, err := l.done(m.uninstall(l, status.State, o.Purge))
	return changes, rights(err)
}

// uninstall does what Uninstall says with a service in a state.
func (m scm) uninstall(l *ledger, state State, purge bool) error {
	if state != Absent && state != Stopped && state != Failed {
		if err := l.do("stop the service "+Name, m.Stop, nil); err != nil {
			return err
		}
	}
	if state != Absent {
		if err := release(l); err != nil {
			return err
		}
		if err := l.do("take away the service "+Name+" and its source in the event log", remove, nil); err != nil {
			return err
		}
	}
	if purge {
		return l.remove(configDir())
	}
	l.keep(configDir())
	return nil
}

// withService opens a service for what is to be done with it, and no more: rights that are not needed may be lacking.
func withService(name string, access uint32, do func(*mgr.Service) error) error {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return rights(err)
	}
	defer func() { _ = windows.CloseServiceHandle(manager) }()
	wide, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return err
	}
	h, err := windows.OpenService(manager, wide, access)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return fmt.Errorf("%w (`meantime service install` installs it)", ErrNotInstalled)
	}
	if err != nil {
		return rights(err)
	}
	s := &mgr.Service{Name: name, Handle: h}
	defer func() { _ = s.Close() }()
	return rights(do(s))
}

// rights says what to do about an error that means a lack of them, or that somebody holds what is to go.
func rights(err error) error {
	switch {
	case errors.Is(err, ErrRights):
		return err
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return fmt.Errorf("%w: %w (run it from an elevated prompt)", ErrRights, err)
	case errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE):
		return fmt.Errorf("%w (close whatever shows the services, then do it again)", err)
	}
	return err
}

// Start starts the service and waits until it is up.
func (scm) Start() error {
	return withService(Name, windows.SERVICE_START|windows.SERVICE_QUERY_STATUS, func(s *mgr.Service) error {
		if err := s.Start(); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
			return fmt.Errorf("starting the service: %w", err)
		}
		return await(s, svc.Running)
	})
}

// Stop stops the service and waits until it has ended.
func (scm) Stop() error { return halt(Name) }

// halt stops a service.
func halt(name string) error {
	return withService(name, windows.SERVICE_STOP|windows.SERVICE_QUERY_STATUS, func(s *mgr.Service) error {
		if _, err := s.Control(svc.Stop); errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
			return nil
		} else if err != nil && !errors.Is(err, windows.ERROR_SERVICE_CANNOT_ACCEPT_CTRL) { // it is on its way already
			return fmt.Errorf("stopping the service %s: %w", name, err)
		}
		return await(s, svc.Stopped)
	})
}

// await waits until a service is in a state, for as long as that may take.
func await(s *mgr.Service, want svc.State) error {
	for begin := time.Now(); ; time.Sleep(deedLook) {
		now, err := s.Query()
		switch {
		case err != nil:
			return err
		case now.State == want:
			return nil
		case want == svc.Running && now.State == svc.Stopped:
			return fmt.Errorf("the service %s ended as it was started: code %d (`meantime service logs` may say why)", s.Name, codeOf(now))
		case time.Since(begin) > deedLimit:
			return fmt.Errorf("the service %s is %s after %v", s.Name, stateNames[now.State], deedLimit)
		}
	}
}

// codeOf is the exit code of a service that ended, its own or the manager's.
func codeOf(s svc.Status) uint32 {
	if s.Win32ExitCode == uint32(windows.ERROR_SERVICE_SPECIFIC_ERROR) {
		return s.ServiceSpecificExitCode
	}
	return s.Win32ExitCode
}

// Restart stops and starts the service.
func (m scm) Restart() error {
	if err := m.Stop(); err != nil {
		return err
	}
	return m.Start()
}

var stateNames = map[svc.State]State{
	svc.Stopped: Stopped, svc.StartPending: Starting, svc.StopPending: Stopping, svc.Running: Running,
	svc.ContinuePending: Running, svc.PausePending: Running, svc.Paused: Running,
}

// Status asks with no more rights than any user has.
func (scm) Status() (Status, error) {
	status := Status{Manager: "Windows' service manager", State: Absent}
	err := withService(Name, windows.SERVICE_QUERY_STATUS, func(s *mgr.Service) error {
		now, err := s.Query()
		if err != nil {
			return err
		}
		status.State, status.PID = stateNames[now.State], int(now.ProcessId)
		if code := codeOf(now); status.State == Stopped && code != 0 && code != uint32(windows.ERROR_SERVICE_NEVER_STARTED) {
			status.State, status.Detail = Failed, fmt.Sprintf("it ended with code %d", code)
		}
		return nil
	})
	if errors.Is(err, ErrNotInstalled) {
		return status, nil
	}
	if k, failed := registry.OpenKey(registry.LOCAL_MACHINE, servicesKey+Name, registry.QUERY_VALUE); failed == nil {
		defer k.Close()
		status.Program, _, _ = k.GetStringValue("ImagePath")
		start, _, failed := k.GetIntegerValue("Start")
		status.Boots = failed == nil && start == mgr.StartAutomatic
	}
	return status, err
}

// Logs has Windows' own program for it print what the event log has of the service, the newest first.
func (scm) Logs(ctx context.Context, o LogOptions, out io.Writer) error {
	if o.Follow {
		return fmt.Errorf("--follow: %w on Windows (the Event Viewer shows the log Application, source %s, as it grows)",
			errors.ErrUnsupported, Name)
	}
	query := "/query:*[System[Provider[@Name='" + Name + "']]]"
	args := []string{"query-events", "Application", query, "/format:text", "/reversedirection:true"}
	if o.Lines > 0 {
		args = append(args, fmt.Sprintf("/count:%d", o.Lines))
	}
	show := exec.CommandContext(ctx, "wevtutil.exe", args...)
	show.Stdout, show.Stderr = out, out
	if err := show.Run(); err != nil {
		return fmt.Errorf("wevtutil: %w", err)
	}
	return nil
}
