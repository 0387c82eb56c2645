package client_test

import "time"

var day0 = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
