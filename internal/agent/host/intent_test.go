package host

import "testing"

func FuzzIntent(f *testing.F) {
	f.Add([]byte(`{"version":1,"to":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","from":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","tries":3,"ready":"2m0s","stable":"15s"}`))
	f.Add([]byte(`{"version":1,"to":"..","from":"/","tries":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, ok := parseIntent(b)
		if ok && (!isSlot(string(i.To)) || !isSlot(string(i.From)) || i.To == i.From || i.Tries < 0 || i.Ready < 0 || i.Stable < 0) {
			t.Errorf("accepted %+v", i)
		}
	})
}
