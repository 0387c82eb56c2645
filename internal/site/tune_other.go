//go:build !linux

package site

import "net"

func tune(net.Conn) {}
