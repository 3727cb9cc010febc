# shellcheck shell=sh disable=SC2034
# The folders of an installation, as absolute paths. To be sourced, in the root of the repository.
#
#   PREFIX        default /usr/local
#   BINDIR        of the command, default bin
#   LIBDIR        of the libraries, default lib; lib64 or lib/x86_64-linux-gnu on some distributions
#   INCLUDEDIR    of the headers, default include
#   DESTDIR       is put before all of them while files are copied: packages are made so. Default empty
#
# A folder that does not begin with / is below PREFIX. The share folder is PREFIX/share always.
#
# Sets UFLOW_LIBRARY_FOLDER and UFLOW_DATA_FOLDER, which are compiled into the library: programs with the static library look there. The
# command finds the standard folders relative to its own place; $standard says whether the folders are these.
fail() { echo "install: $*" >&2; exit 2; }

PREFIX=${PREFIX:-/usr/local}
case $PREFIX in /*) ;; *) fail "PREFIX must be an absolute path, not $PREFIX" ;; esac
absolute() { case $1 in /*) realpath -ms -- "$1" ;; *) realpath -ms -- "$PREFIX/$1" ;; esac; }
PREFIX=$(absolute "$PREFIX")
BINDIR=$(absolute "${BINDIR:-bin}")
LIBDIR=$(absolute "${LIBDIR:-lib}")
INCLUDEDIR=$(absolute "${INCLUDEDIR:-include}")
DESTDIR=${DESTDIR:-}
# pkg-config and CMake would read these characters as their own. Spaces and apostrophes can be used.
case $PREFIX$BINDIR$LIBDIR$INCLUDEDIR in
  *[\"\\\$\`\;#]* | *'
'*) fail "these characters cannot be part of a folder: \" \\ \$ \` ; # and line breaks" ;;
esac
case $DESTDIR in *'
'*) fail "DESTDIR has a line break" ;; esac

UFLOW_LIBRARY_FOLDER=$LIBDIR/uflow
UFLOW_DATA_FOLDER=$PREFIX/share/uflow
standard=no
[ "$BINDIR $LIBDIR" != "$PREFIX/bin $PREFIX/lib" ] || standard=yes
