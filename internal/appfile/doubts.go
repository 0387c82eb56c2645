package appfile

import (
	"fmt"
	"maps"
	"slices"
)

// Doubts returns what a allows but hardly means, a sentence each, sorted by service: to be told
// where it is built, not found out on a node.
func (a *App) Doubts() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a.Services)) {
		s := a.Services[name]
		if slices.Contains(s.Capabilities, "net_bind_service") || s.Isolation == NoIsolation {
			continue
		}
		for _, port := range s.Ports {
			if port.Number < 1024 {
				list = append(list, fmt.Sprintf("service %s is to listen on port %s, which most machines allow only with capabilities: [net_bind_service] in its section of %s",
					name, port, FileName))
			}
		}
	}
	return list
}
