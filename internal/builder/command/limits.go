package command

import (
	"fmt"
	"time"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile"
	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/progress"
)

// Limits is what stands under the key "limits" of a command; 0 is the default of the machine.
type Limits struct {
	Memory    int64 // bytes
	Processes int
	Disk      int64 // bytes
	Time      appfile.Duration
}

func limitKeys() []yamlfile.Key[Limits] {
	return []yamlfile.Key[Limits]{
		bytesKey("memory", "What it may use of memory, with all that it starts, written like 4GiB; three quarters of the machine's when left out, and at most.",
			func(l *Limits) *int64 { return &l.Memory }),
		yamlfile.Number("processes", fmt.Sprintf("How many processes and threads there may be at once; %d when left out.", cell.Processes), 1, cell.MostProcesses,
			func(l *Limits) *int { return &l.Processes }),
		bytesKey("disk", "What it may write, written like 20GiB; half of what is free when left out, three quarters of it at most.",
			func(l *Limits) *int64 { return &l.Disk }),
		yamlfile.Duration("time", "How long it may take; 6h when left out, 48h at most.", cell.MostTime,
			func(l *Limits) *appfile.Duration { return &l.Time }),
	}
}

// bytesKey is a key with a size like 4GiB.
func bytesKey(name, doc string, at func(*Limits) *int64) yamlfile.Key[Limits] {
	return yamlfile.Key[Limits]{
		Name: name, Doc: doc, Schema: yamlfile.Schema{"type": "string", "pattern": sizePattern},
		Set: func(d *yamlfile.Decoder, n yamlfile.Node, l *Limits) {
			s, ok := d.Match(n, name, sizePattern, "a size, written like 4GiB")
			if !ok {
				return
			}
			var err error
			if *at(l), err = progress.ParseBytes(s); err != nil {
				d.Fail(n, "write it like 4GiB", "%s: %v", name, err)
			}
		},
		Get: func(l *Limits) any {
			if *at(l) == 0 {
				return ""
			}
			return fmt.Sprint(*at(l))
		},
	}
}

// limits returns what the command of j asks for.
func limits(j builder.Job) confine.Limits {
	var asked Limits
	if c, ok := j.Artifact.Settings.(*Command); ok {
		asked = c.Limits
	}
	return confine.Limits{Memory: asked.Memory, Processes: asked.Processes, Disk: asked.Disk, Time: time.Duration(asked.Time)}
}

// more says how a command gets more of what it had too little of.
func more(l *confine.LimitError) string {
	switch l.What {
	case "output":
		return "it prints without end: let it say less"
	case "disk":
		return "limits: {disk: 40GiB} under command in overland.yaml, or more room on the disk of the site directory"
	}
	example := map[string]string{"memory": "8GiB", "processes": "8000", "time": "12h"}[l.What]
	return fmt.Sprintf("limits: {%s: %s} under command in overland.yaml, if it is right that it needs more", l.What, example)
}
