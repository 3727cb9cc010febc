package io.uflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.grpc.Status;
import io.uflow.v1.DetectOptions;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.DetectResponse;
import io.uflow.v1.Detection;
import io.uflow.v1.MapFormat;
import io.uflow.v1.MaskFormat;
import io.uflow.v1.Model;
import io.uflow.v1.ModelState;
import io.uflow.v1.Outputs;
import io.uflow.v1.PixelFormat;
import io.uflow.v1.Region;
import io.uflow.v1.Verdict;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the client returns, from a real server. */
@Timeout(90)
class VerdictsTest {
  private static TestServer server;
  private static UFlowClient client;

  @BeforeAll
  static void start() throws Exception {
    server = TestServer.start();
    client = UFlowClient.builder(server.address()).build();
  }

  @AfterAll
  static void stop() {
    if (client != null) {
      client.close();
      server.close();
    }
  }

  @Test
  void singleCallsAndStreamsGiveTheVerdictsOfTheCommand() throws Exception {
    List<Path> pictures = TestModels.pictures();
    assertTrue(pictures.size() >= 10, "pictures: " + pictures);
    List<JsonObject> expected =
        TestModels.uflow("detect --threads 1 --json --model", concat(TestModels.model(), pictures))
            .lines()
            .map(line -> JsonParser.parseString(line).getAsJsonObject())
            .toList();
    assertEquals(
        pictures.stream().map(Path::toString).toList(),
        expected.stream().map(line -> line.get("path").getAsString()).toList());
    assertTrue(expected.stream().anyMatch(line -> line.get("anomalous").getAsBoolean()));
    assertTrue(expected.stream().anyMatch(line -> !line.get("anomalous").getAsBoolean()));

    Recorder recorder = new Recorder();
    try (DetectStream stream = client.openStream(StreamOptions.defaults(), recorder)) {
      for (Path picture : pictures) {
        stream.send(Frames.encoded("cloth", picture).setSequence(7).build());
      }
      stream.finish();
    }
    recorder.assertEachOnceInOrder(pictures.size());
    for (int i = 0; i < pictures.size(); i++) {
      DetectRequest request = Frames.encoded("cloth", pictures.get(i)).setSequence(11).build();
      assertSame(expected.get(i), recorder.results.get(i).detection());
      assertEquals(7, recorder.results.get(i).response().getSequence(), "the caller's own");
      var response = client.detect(request);
      assertSame(expected.get(i), response.getDetection());
      assertEquals(11, response.getSequence());
    }
  }

  private static Object[] concat(Path first, List<Path> rest) {
    Object[] all = new Object[rest.size() + 1];
    all[0] = first;
    System.arraycopy(rest.toArray(), 0, all, 1, rest.size());
    return all;
  }

  /** To the bit. */
  private static void assertSame(JsonObject expected, Detection found) {
    assertEquals(Float.parseFloat(expected.get("score").getAsString()), found.getScore());
    assertEquals(
        Float.parseFloat(expected.get("log10_nfa_min").getAsString()), found.getLog10NfaMin());
    assertEquals(Float.parseFloat(expected.get("score_max").getAsString()), found.getScoreMax());
    assertEquals(expected.get("anomalous").getAsBoolean(), found.getAnomalous());
    assertEquals(expected.get("p_value").getAsDouble(), found.getPValue());
    assertEquals(expected.get("p_extrapolated").getAsBoolean(), found.getPExtrapolated());
    JsonArray regions = expected.getAsJsonArray("regions");
    assertEquals(regions.size(), found.getRegionsCount());
    for (int i = 0; i < regions.size(); i++) {
      JsonObject region = regions.get(i).getAsJsonObject();
      Region other = found.getRegions(i);
      assertEquals(region.get("area").getAsInt(), other.getArea());
      JsonArray box = region.getAsJsonArray("box");
      assertEquals(box.get(0).getAsInt(), other.getBox().getX());
      assertEquals(box.get(3).getAsInt(), other.getBox().getHeight());
      assertEquals(region.get("p_value").getAsDouble(), other.getPValue());
    }
  }

  @Test
  void optionsAndOutputsReachTheServer() throws Exception {
    Path picture = TestModels.pictures().get(0);
    DetectRequest request =
        Frames.encoded("cloth", picture)
            .setOptions(
                DetectOptions.newBuilder()
                    .setVerdict(Verdict.VERDICT_REJECT)
                    .setRejectRate(0.2)
                    .setMinArea(1))
            .setOutputs(
                Outputs.newBuilder()
                    .setMask(MaskFormat.MASK_FORMAT_RAW)
                    .setScoreMap(MapFormat.MAP_FORMAT_F32)
                    .setLatents(true))
            .build();
    Detection found = client.detect(request).getDetection();
    assertEquals(found.getWidth() * found.getHeight(), found.getMask().getData().size());
    assertEquals(96 * 96 * 4, found.getScoreMap().getData().size());
    assertTrue(found.getLatentsCount() > 0);
    int anomalous = 0;
    for (byte pixel : found.getMask().getData()) {
      anomalous += pixel;
    }
    assertEquals(found.getAnomalous(), anomalous > 0);

    byte[] pixels = new byte[40 * 30 * 3];
    Detection raw =
        client
            .detect(Frames.raw("cloth", pixels, 40, 30, PixelFormat.PIXEL_FORMAT_BGR8).build())
            .getDetection();
    assertEquals(List.of(40, 30), List.of(raw.getWidth(), raw.getHeight()));
  }

  @Test
  void modelsAreListedAndDescribed() {
    List<Model> models = client.listModels();
    assertEquals(1, models.size());
    Model model = client.model("cloth");
    assertEquals(models.get(0), model);
    assertEquals(ModelState.MODEL_STATE_READY, model.getState());
    assertEquals(96, model.getDescription().getInputWidth());
    assertEquals(model, client.model("cloth", model.getVersion()));
    assertFails(Status.Code.NOT_FOUND, "no model `felt`", () -> client.model("felt"));
    assertFails(
        Status.Code.PERMISSION_DENIED,
        "model-control",
        () -> client.loadModel("cloth", 0, Duration.ofSeconds(9)));
    assertFails(
        Status.Code.PERMISSION_DENIED, "model-control", () -> client.unloadModel("cloth", 0));
  }

  @Test
  void errorsKeepTheCodeAndTheServersWords() throws Exception {
    byte[] broken = "no picture".getBytes();
    assertFails(
        Status.Code.INVALID_ARGUMENT,
        "",
        () -> client.detect(Frames.encoded("cloth", broken).build()));
    DetectRequest good = Frames.encoded("cloth", TestModels.pictures().get(0)).build();
    assertFails(
        Status.Code.NOT_FOUND,
        "there is no model `felt`; there are cloth",
        () -> client.detect(good.toBuilder().setModel("felt").build()));
    assertFails(Status.Code.DEADLINE_EXCEEDED, "", () -> client.detect(good, Duration.ofMillis(1)));
    assertThrows(IllegalArgumentException.class, () -> client.detect(good, Duration.ZERO));
  }

  static UFlowException assertFails(Status.Code code, String said, Runnable call) {
    UFlowException error = assertThrows(UFlowException.class, call::run);
    assertEquals(code, error.code(), error.toString());
    assertTrue(error.description().contains(said), error.toString());
    return error;
  }

  @Test
  void singleCallsWaitForAServerThatIsRestarted() throws Exception {
    DetectRequest good = Frames.encoded("cloth", TestModels.pictures().get(0)).build();
    try (TestServer own = TestServer.start();
        UFlowClient other = UFlowClient.builder(own.address()).build()) {
      Detection before = other.detect(good).getDetection();
      List<CompletableFuture<DetectResponse>> calls = new ArrayList<>();
      for (int i = 0; i < 50; i++) {
        calls.add(other.detectAsync(good, Waiting.LONG));
      }
      calls.get(0).get();
      own.kill();
      assertTrue(calls.stream().anyMatch(call -> !call.isDone()), "some calls are cut off");
      var refused =
          assertThrows(UFlowException.class, () -> other.detect(good, Duration.ofMillis(300)));
      assertEquals(Status.Code.UNAVAILABLE, refused.code(), refused.toString());
      CompletableFuture<?> cancelled = other.detectAsync(good, Waiting.LONG);
      cancelled.cancel(true);
      assertThrows(CancellationException.class, cancelled::join);
      var waiting = other.detectAsync(good, Waiting.LONG);
      own.launch();
      assertEquals(before, waiting.get().getDetection());
      for (CompletableFuture<DetectResponse> call : calls) {
        assertEquals(before, call.get().getDetection());
      }
    }
  }
}
