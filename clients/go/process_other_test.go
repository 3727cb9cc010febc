//go:build !linux

package uflow_test

import "syscall"

func dieWithTests() *syscall.SysProcAttr { return nil }
