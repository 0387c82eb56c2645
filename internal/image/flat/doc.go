// Package flat lays the layers of an image over one another, into one folder of files that a container can have for
// its root, and finds the image's users in there.
//
//	DIR        0700: nobody else on the machine gets at the programs in it that run as their owner
//	DIR/root   the files, as the last layer left them
//
// Every layer is hashed, packed and unpacked, while it is read. The folder appears whole, verified and durable under
// its name, or not at all; what a killed process left is removed by the next one.
//
// It runs nothing and mounts nothing. It is made for the agent, which carries no decoder of zstd: layers are gzip or
// not packed. Device files and pipes are left out, and named; so are extended attributes: file capabilities count for
// nothing where no_new_privs is set. Folders have the time at which they were made.
//
// Sources: OCI image specification 1.1, "Applying Changesets"; names of links and members are resolved inside of the
// root, as containerd does it; users as runc does it.
//
// Failures guarded: a layer that writes, links or removes outside of its root, through ".." or links; one that is
// terabytes; another tree than the one whose digests were signed; half a tree after a power cut.
package flat
