// Package host reads the host's counters with gopsutil and differences them
// itself: one reading is no rate, a counter that went backwards gives no rate, and
// a clock that jumped gives none either. It is the only import of gopsutil.
//
// What is left out on purpose (each slow or wrong in gopsutil v3): the process
// table, open connections, host.Info, and mem.Used, which is not total - available.
package host
