package io.uflow.client;

import com.google.protobuf.ByteString;
import io.uflow.v1.DetectRequest;
import io.uflow.v1.PixelFormat;
import io.uflow.v1.RawImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Makes requests. The builders that it returns take every option of the protocol: {@code
 * setOptions} (reject rate, verdict, region of interest …), {@code setOutputs} (mask, maps,
 * latents), {@code setPriority} and so on.
 */
public final class Frames {
  private Frames() {}

  /**
   * A request with an image file's bytes.
   *
   * @param model name of the model
   * @param image a PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file with one image
   * @return a request to which options can be added
   */
  public static DetectRequest.Builder encoded(String model, byte[] image) {
    return DetectRequest.newBuilder().setModel(model).setEncoded(ByteString.copyFrom(image));
  }

  /**
   * A request with an image file.
   *
   * @param model name of the model
   * @param file a PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file with one image
   * @return a request to which options can be added
   * @throws IOException if the file cannot be read
   */
  public static DetectRequest.Builder encoded(String model, Path file) throws IOException {
    return encoded(model, Files.readAllBytes(file));
  }

  /**
   * A request with pixels, rows from top to bottom without gaps. For rows with gaps, set {@code
   * stride} in {@code getRawBuilder()}.
   *
   * @param model name of the model
   * @param pixels the pixels; copied
   * @param width width in pixels
   * @param height height in pixels
   * @param format layout of a pixel
   * @return a request to which options can be added
   */
  public static DetectRequest.Builder raw(
      String model, byte[] pixels, int width, int height, PixelFormat format) {
    RawImage.Builder raw =
        RawImage.newBuilder()
            .setPixels(ByteString.copyFrom(pixels))
            .setWidth(width)
            .setHeight(height)
            .setFormat(format);
    return DetectRequest.newBuilder().setModel(model).setRaw(raw);
  }
}
