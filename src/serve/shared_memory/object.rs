//! The shared memory object of the system: opened, read and written by offset.

#[cfg(target_os = "linux")]
pub(super) use self::linux::Object;
#[cfg(not(target_os = "linux"))]
pub(super) use self::nowhere::Object;

/// What an object is, whatever its name: device and number of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

/// Size and identity of an object at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) identity: Identity,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::{File, Metadata},
        io,
        os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
        path::Path,
    };

    use rustix::fs::OFlags;

    use super::{Found, Identity};

    #[derive(Debug)]
    pub(in super::super) struct Object(File);

    impl From<Metadata> for Found {
        fn from(metadata: Metadata) -> Self {
            Self { bytes: metadata.len(), identity: Identity(metadata.dev(), metadata.ino()) }
        }
    }

    impl Object {
        /// Opens it without following a link. `None` for what is not a plain file.
        pub(in super::super) fn open(path: &Path, write: bool) -> io::Result<Option<Self>> {
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = File::options().read(true).write(write).custom_flags(flags.bits() as i32).open(path)?;
            Ok(file.metadata()?.is_file().then_some(Self(file)))
        }

        pub(in super::super) fn found(&self) -> io::Result<Found> {
            Ok(self.0.metadata()?.into())
        }

        /// What has the name now.
        pub(in super::super) fn at(path: &Path) -> io::Result<Found> {
            Ok(path.symlink_metadata()?.into())
        }

        pub(in super::super) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(bytes, offset)
        }

        pub(in super::super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_all_at(bytes, offset)
        }
    }
}

/// Systems whose shared memory is not supported: no object can be opened.
#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::{io, path::Path};

    use super::Found;

    #[derive(Debug)]
    pub(in super::super) enum Object {}

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "shared memory needs Linux"))
    }

    impl Object {
        pub(in super::super) fn open(_: &Path, _: bool) -> io::Result<Option<Self>> {
            unsupported()
        }

        pub(in super::super) fn found(&self) -> io::Result<Found> {
            match *self {}
        }

        pub(in super::super) fn at(_: &Path) -> io::Result<Found> {
            unsupported()
        }

        pub(in super::super) fn read(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            match *self {}
        }

        pub(in super::super) fn write(&self, _: &[u8], _: u64) -> io::Result<()> {
            match *self {}
        }
    }
}
