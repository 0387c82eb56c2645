package release

import (
	"encoding/hex"
	"fmt"

	"overland/internal/digest"
)

// AgentApp is the application that is Overland's own agent: it has artifacts and no services.
const AgentApp = "overland-agent"

// AgentVersion returns the only version that an agent of these programs can have, sorted as in a
// Release: "r0." and 12 hex digits of a digest over them.
func AgentVersion(programs []Artifact) string {
	const digits = 6 // 12 of hex
	h := digest.New()
	for _, a := range programs {
		fmt.Fprintf(h, "%s %s\n", a.Platform, a.Blob.Digest)
	}
	return "r0." + hex.EncodeToString(h.Sum(nil)[:digits])
}

// checkAgent refuses an agent that was not made as the operator's own program makes it: a repository
// that calls itself so has a commit, and a version that counts its commits.
func (r *Release) checkAgent() error {
	if r.Commit != "" || !r.CommitTime.IsZero() || r.Spec != "" || len(r.Services)+len(r.Commands) > 0 || r.Inputs != nil {
		return fmt.Errorf("%s was built from a repository: only Overland's own agent has that name", r.Ref())
	}
	for _, a := range r.Artifacts {
		if a.Name != AgentApp || a.File != AgentApp || a.Kind != KindBinary {
			return fmt.Errorf("%s: artifact %s, file %s: an agent is one program for each platform", r.Ref(), a.Name, a.File)
		}
	}
	if want := AgentVersion(r.Artifacts); r.Version != want {
		return fmt.Errorf("%s: the agent of these programs is %s", r.Ref(), want)
	}
	return nil
}
