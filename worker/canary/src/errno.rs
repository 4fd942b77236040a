//! The names of errors and signals, as the report has them.

/// The name of an error number, or `ERRNO_n`.
pub(crate) fn name(errno: i32) -> String {
    let known = ERRNOS.iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| format!("ERRNO_{errno}"), |(_, name)| (*name).to_owned())
}

/// The name of a signal, or `SIGNAL_n`.
pub(crate) fn signal(number: i32) -> String {
    let known = SIGNALS.iter().find(|(signal, _)| *signal == number);
    known.map_or_else(|| format!("SIGNAL_{number}"), |(_, name)| (*name).to_owned())
}

macro_rules! named {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

const ERRNOS: &[(i32, &str)] = named!(
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENODATA ETIME ENOPKG EPROTO EBADMSG EOVERFLOW EBADFD EUSERS ENOTSOCK EDESTADDRREQ
    EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET
    ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS
    ESTALE EDQUOT EKEYEXPIRED EKEYREVOKED EKEYREJECTED ENOKEY
);

const SIGNALS: &[(i32, &str)] =
    named!(SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGSEGV SIGPIPE SIGALRM SIGTERM SIGSYS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_signals_have_names() {
        assert_eq!(name(libc::EPERM), "EPERM");
        assert_eq!(name(4000), "ERRNO_4000");
        assert_eq!(signal(libc::SIGSYS), "SIGSYS");
        assert_eq!(signal(63), "SIGNAL_63");
    }
}
