// Package engines runs the programs that people have for images, as Debian has them: docker with its daemon and
// containerd, podman, buildah, skopeo; and the registry of the distribution project. For tests only.
//
// They live in mount and process namespaces of their own, on the machine's network: their settings, their images and what
// they write are on a tmpfs that goes with them, and so do they when the test ends or is killed. No container is run, no
// network is set up and nothing is installed: apt fetches the packages, verified, once for a checkout, into .cache.
//
// Failure guarded: a registry that serves what the specification says, and not what its clients ask for.
package engines
