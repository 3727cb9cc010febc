#!/usr/bin/env bash
# Makes src/generated/java from proto/uflow/v1 again. Run it after a change in proto/, and commit the result.
#
# protoc and its gRPC plugin come as Maven artifacts, in the versions that pom.xml names for the runtime; the well-known types
# come from the runtime's own jar. Needs Maven, and unzip or a JDK's jar.
set -euo pipefail
cd "$(dirname "$0")"

version() { sed -n "s|.*<$1.version>\(.*\)</$1.version>.*|\1|p" pom.xml; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-x86_64 ;;
  Linux-aarch64) platform=linux-aarch_64 ;;
  Darwin-arm64) platform=osx-aarch_64 ;;
  Darwin-x86_64) platform=osx-x86_64 ;;
  *) echo "$0: no protoc is published for this machine" >&2; exit 1 ;;
esac

tools=$PWD/target/generate
rm -rf "$tools"
mkdir -p "$tools/include"

# fetch ARTIFACT: copies a Maven artifact into $tools.
fetch() {
  mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="$1" -DoutputDirectory="$tools" -Dmdep.useBaseVersion=true
}
fetch "com.google.protobuf:protoc:$(version protobuf):exe:$platform"
fetch "io.grpc:protoc-gen-grpc-java:$(version grpc):exe:$platform"
fetch "com.google.protobuf:protobuf-java:$(version protobuf):jar"
(cd "$tools/include" && jar xf ../protobuf-java-*.jar google)
chmod +x "$tools"/*.exe

rm -rf src/generated/java
mkdir -p src/generated/java
mapfile -t protos < <(cd ../../proto && find uflow -name '*.proto' | sort)
"$tools"/protoc-[0-9]*.exe --proto_path=../../proto --proto_path="$tools/include" \
  --plugin=protoc-gen-grpc-java="$(echo "$tools"/protoc-gen-grpc-java-*.exe)" \
  --java_out=src/generated/java --grpc-java_out=@generated=omit:src/generated/java "${protos[@]}"
echo "$(find src/generated/java -name '*.java' | wc -l) files in src/generated/java"
