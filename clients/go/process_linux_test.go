package uflow_test

import "syscall"

// dieWithTests kills a child if the tests are killed, or end in a panic, before their cleanups.
func dieWithTests() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
