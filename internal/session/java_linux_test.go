package session_test

import (
	"crypto/sha1" //nolint:gosec // what a repository of Maven's holds beside each file
	"fmt"
	"testing"
)

// Maven, whose settings and those of Java a distribution keeps in /etc, comes through the recorder over TLS,
// with an empty repository of its own, and works in the cell of a replay.
func TestMaven(t *testing.T) {
	t.Setenv("MAVEN_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC") // it starts in half of the time
	t.Setenv("PATH", "/usr/bin:/bin")                                  // of the other tools few are asked where they fetch from
	const pom = `<project><modelVersion>4.0.0</modelVersion><groupId>leaf</groupId><artifactId>%s</artifactId><version>1</version><packaging>pom</packaging>%s</project>`
	parent := fmt.Sprintf(pom, "parent", "<properties><word>tea</word></properties>")
	const at = "/m2/leaf/parent/1/parent-1.pom"
	srv := registry(t, map[string]string{at: parent, at + ".sha1": fmt.Sprintf("%x", sha1.Sum([]byte(parent)))}) //nolint:gosec // see above
	project := t.TempDir()
	files(t, project, map[string]string{"pom.xml": fmt.Sprintf(pom, "child", `<parent><groupId>leaf</groupId><artifactId>parent</artifactId><version>1</version><relativePath/></parent>
		<repositories><repository><id>leaf</id><url>https://leaf.invalid/m2</url></repository></repositories>`)})
	res := recordAndReplay(t, srv, "mvn -q -B -f "+project+" validate >said 2>&1 || cat said; cat \"${MAVEN_OPTS##*=}/leaf/parent/1/parent-1.pom\"", parent, project)
	if len(res.Lock.Entries) != 2 {
		t.Errorf("%v", res.Lock.Entries)
	}
}
