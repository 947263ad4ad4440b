// A library that a target maps and never calls.
int never_called(int n) { return n + 1; }
