/// The C library of the system, for the modules that may use it.
@_exported public import Glibc
