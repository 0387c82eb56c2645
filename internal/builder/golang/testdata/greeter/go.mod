module example.org/greeter

go 1.26.0

toolchain go1.26.8

require golang.org/x/text v0.41.0
