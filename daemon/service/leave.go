package service

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// startedBy is the environment variable by which a manager that knows no exit codes says that it has started this process.
const startedBy = "MEANTIME_SERVICE"

// lasting are the exit codes after which another start would end likewise: a configuration, a refusal. Not 2, with which a Go program
// ends after a panic, too. systemd is told them by its unit.
var lasting = []int{3, 7, 8}

// Leave returns the exit code that ends this process for good where it would only be started again to fail likewise. launchd leaves alone
// what ended with success. daemon(8) of FreeBSD starts everything again, so it is ended with it.
func Leave(code int) int {
	if !slices.Contains(lasting, code) {
		return code
	}
	switch os.Getenv(startedBy) {
	case "launchd":
		return 0
	case "rc":
		endParent()
	}
	return code
}

// endParent asks the process that has started this one to end, and waits for its answer: daemon(8) hands the signal on. Who leaves
// before may be started again.
func endParent() {
	parent, err := os.FindProcess(os.Getppid())
	if err != nil || parent.Pid == 1 { // it has ended already
		return
	}
	answer := make(chan os.Signal, 1)
	signal.Notify(answer, syscall.SIGTERM)
	defer signal.Stop(answer)
	if parent.Signal(syscall.SIGTERM) != nil {
		return
	}
	select {
	case <-answer:
	case <-time.After(5 * time.Second):
	}
}
