//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

// runStage does nothing here: only Linux has the stages.
func runStage() (code int, ok bool) { return 0, false }

// run says that the lab needs Linux; `lab report` works anywhere.
func run(context.Context, Plan, io.Writer, io.Writer) (*Result, error) {
	return nil, errors.New("the lab boots Linux kernels: run it on Linux on amd64, as root")
}

// load says that it needs Linux.
func load(context.Context, LoadPlan, io.Writer) (*LoadResult, error) {
	return nil, errors.New("lab load makes network namespaces: run it on Linux on amd64, as root")
}
