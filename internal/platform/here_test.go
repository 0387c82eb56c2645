package platform

import "testing"

func TestArmPlatform(t *testing.T) {
	for _, tt := range []struct{ machine, built, want string }{
		{"armv5tel", "5", "linux/arm/v5"},
		{"armv6l", "5", "linux/arm/v6"},
		{"armv6l", "6", "linux/arm/v6"},
		{"armv7l", "6", "linux/arm/v7"},
		{"armv8l", "5", "linux/arm/v7"},
		{"aarch64", "6", "linux/arm/v7"},
		{"", "6", "linux/arm/v6"}, // at least what this program was built for
		{"x86_64", "7", "linux/arm/v7"},
		{"", "", "linux/arm/v5"},
	} {
		if got := armPlatform(tt.machine, tt.built); string(got) != tt.want {
			t.Errorf("armPlatform(%q, %q) = %s, want %s", tt.machine, tt.built, got, tt.want)
		}
	}
}
