package io.uflow.client;

import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A small model and its pictures, made once by the real program. {@code UFLOW_TEST_MODELS} names a
 * folder that is used and filled, so that the tests of several languages share it.
 */
final class TestModels {
  private static final Path REPOSITORY = Path.of("../..").toAbsolutePath().normalize();

  /** The program. */
  static final Path UFLOW =
      Path.of(
          System.getenv()
              .getOrDefault("UFLOW", REPOSITORY.resolve("target/debug/uflow").toString()));

  private static Path folder;

  private TestModels() {}

  /** The package of the model. */
  static Path model() throws IOException, InterruptedException {
    return folder().resolve("cloth/1");
  }

  /** Pictures of all kinds, good and bad. */
  static List<Path> pictures() throws IOException, InterruptedException {
    try (Stream<Path> files = Files.walk(folder().resolve("D/data/woven_cloth/test"))) {
      return files.filter(file -> file.toString().matches(".*/00[0-2]\\.png")).sorted().toList();
    }
  }

  private static synchronized Path folder() throws IOException, InterruptedException {
    if (folder == null) {
      String shared = System.getenv("UFLOW_TEST_MODELS");
      Path models = Path.of(shared == null ? "target/test-models" : shared).toAbsolutePath();
      if (!Files.exists(models.resolve("cloth/1/uflow.json"))) {
        make(models);
      }
      folder = models;
    }
    return folder;
  }

  /** Makes everything aside and moves it in place, so that other tests never see half of it. */
  private static void make(Path models) throws IOException, InterruptedException {
    Files.createDirectories(models);
    Path aside = Files.createTempDirectory(models, ".java");
    uflow("demo --data-only --products woven-cloth --train 60 --out", aside.resolve("D"));
    Path good = aside.resolve("D/data/woven_cloth/train/good");
    Path backbone = REPOSITORY.resolve("assets/photonet.onnx");
    Path model = aside.resolve("cloth/1");
    Files.createDirectories(model.getParent());
    uflow(
        "fit --name cloth --epochs 3 --input-size 96 --json --good",
        good,
        "--backbone",
        backbone,
        "--out",
        model);
    for (String part : List.of("D", "cloth")) {
      try {
        Files.move(aside.resolve(part), models.resolve(part), StandardCopyOption.ATOMIC_MOVE);
      } catch (FileAlreadyExistsException | DirectoryNotEmptyException e) {
        // Another language's tests were first; theirs is as good.
        return;
      }
    }
    Files.delete(aside);
  }

  /** Runs the program and returns what it printed. */
  static String uflow(String words, Object... more) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(UFLOW.toString()));
    command.addAll(List.of(words.split(" ")));
    Stream.of(more).map(Object::toString).forEach(command::add);
    return run(command, Map.of());
  }

  /** Runs a command and returns what it printed. */
  static String run(List<String> command, Map<String, String> environment)
      throws IOException, InterruptedException {
    Path errors = Files.createTempFile("uflow-test", ".stderr");
    ProcessBuilder builder = new ProcessBuilder(command).redirectError(errors.toFile());
    builder.environment().putAll(environment);
    Process process = builder.start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes());
    if (process.waitFor() != 0) {
      throw new IOException(command + " failed: " + Files.readString(errors));
    }
    Files.delete(errors);
    return output;
  }
}
