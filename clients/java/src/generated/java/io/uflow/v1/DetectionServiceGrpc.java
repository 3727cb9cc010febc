package io.uflow.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Finds defects in frames.
 * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
 * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
 * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
 * (the network's numbers are not finite). A stream answers these errors in band and continues.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class DetectionServiceGrpc {

  private DetectionServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "uflow.v1.DetectionService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.uflow.v1.DetectRequest,
      io.uflow.v1.DetectResponse> getDetectMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Detect",
      requestType = io.uflow.v1.DetectRequest.class,
      responseType = io.uflow.v1.DetectResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.uflow.v1.DetectRequest,
      io.uflow.v1.DetectResponse> getDetectMethod() {
    io.grpc.MethodDescriptor<io.uflow.v1.DetectRequest, io.uflow.v1.DetectResponse> getDetectMethod;
    if ((getDetectMethod = DetectionServiceGrpc.getDetectMethod) == null) {
      synchronized (DetectionServiceGrpc.class) {
        if ((getDetectMethod = DetectionServiceGrpc.getDetectMethod) == null) {
          DetectionServiceGrpc.getDetectMethod = getDetectMethod =
              io.grpc.MethodDescriptor.<io.uflow.v1.DetectRequest, io.uflow.v1.DetectResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Detect"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.uflow.v1.DetectRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.uflow.v1.DetectResponse.getDefaultInstance()))
              .setSchemaDescriptor(new DetectionServiceMethodDescriptorSupplier("Detect"))
              .build();
        }
      }
    }
    return getDetectMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.uflow.v1.DetectRequest,
      io.uflow.v1.DetectResponse> getDetectStreamMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DetectStream",
      requestType = io.uflow.v1.DetectRequest.class,
      responseType = io.uflow.v1.DetectResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<io.uflow.v1.DetectRequest,
      io.uflow.v1.DetectResponse> getDetectStreamMethod() {
    io.grpc.MethodDescriptor<io.uflow.v1.DetectRequest, io.uflow.v1.DetectResponse> getDetectStreamMethod;
    if ((getDetectStreamMethod = DetectionServiceGrpc.getDetectStreamMethod) == null) {
      synchronized (DetectionServiceGrpc.class) {
        if ((getDetectStreamMethod = DetectionServiceGrpc.getDetectStreamMethod) == null) {
          DetectionServiceGrpc.getDetectStreamMethod = getDetectStreamMethod =
              io.grpc.MethodDescriptor.<io.uflow.v1.DetectRequest, io.uflow.v1.DetectResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DetectStream"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.uflow.v1.DetectRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.uflow.v1.DetectResponse.getDefaultInstance()))
              .setSchemaDescriptor(new DetectionServiceMethodDescriptorSupplier("DetectStream"))
              .build();
        }
      }
    }
    return getDetectStreamMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static DetectionServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<DetectionServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<DetectionServiceStub>() {
        @java.lang.Override
        public DetectionServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new DetectionServiceStub(channel, callOptions);
        }
      };
    return DetectionServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static DetectionServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<DetectionServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<DetectionServiceBlockingV2Stub>() {
        @java.lang.Override
        public DetectionServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new DetectionServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return DetectionServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static DetectionServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<DetectionServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<DetectionServiceBlockingStub>() {
        @java.lang.Override
        public DetectionServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new DetectionServiceBlockingStub(channel, callOptions);
        }
      };
    return DetectionServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static DetectionServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<DetectionServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<DetectionServiceFutureStub>() {
        @java.lang.Override
        public DetectionServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new DetectionServiceFutureStub(channel, callOptions);
        }
      };
    return DetectionServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Finds defects in frames.
   * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
   * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
   * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
   * (the network's numbers are not finite). A stream answers these errors in band and continues.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Finds defects in one frame. The outcome of the answer is a detection.
     * </pre>
     */
    default void detect(io.uflow.v1.DetectRequest request,
        io.grpc.stub.StreamObserver<io.uflow.v1.DetectResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDetectMethod(), responseObserver);
    }

    /**
     * <pre>
     * Finds defects in a stream of frames. Each frame is answered exactly once, in the order of the frames. Frames may
     * have different models, sizes and formats. A frame that cannot be used is answered with its error, and the stream
     * continues. The same holds for an answer that is larger than the server's limit for a message: INVALID_ARGUMENT says
     * what to ask for instead. The stream ends when the client has closed its side and the last frame is answered.
     * A request that is larger than the server's limit for a message ends the stream: the server answers the frames before
     * it, then ends with OUT_OF_RANGE. Send the frames after it on a new stream.
     * The response header `uflow-stream-window` gives the number of frames that the stream may have unanswered. A frame
     * within this window waits for room in the server and is never refused. When the server is full, frames beyond the
     * window are answered with RESOURCE_EXHAUSTED. A server can be configured to wait instead: it then reads no frame beyond
     * the window until an answer is sent.
     * Clients have a message limit of their own, 4 MB by default in most libraries. A larger answer ends the stream on
     * the client's side with RESOURCE_EXHAUSTED. A raw mask of 3000×2000 pixels has 6 MB. Ask for PNG or runs, or raise
     * the client's limit (`max_receive_message_length`, `MaxCallRecvMsgSize`, `maxInboundMessageSize`).
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.uflow.v1.DetectRequest> detectStream(
        io.grpc.stub.StreamObserver<io.uflow.v1.DetectResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getDetectStreamMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service DetectionService.
   * <pre>
   * Finds defects in frames.
   * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
   * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
   * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
   * (the network's numbers are not finite). A stream answers these errors in band and continues.
   * </pre>
   */
  public static abstract class DetectionServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return DetectionServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service DetectionService.
   * <pre>
   * Finds defects in frames.
   * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
   * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
   * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
   * (the network's numbers are not finite). A stream answers these errors in band and continues.
   * </pre>
   */
  public static final class DetectionServiceStub
      extends io.grpc.stub.AbstractAsyncStub<DetectionServiceStub> {
    private DetectionServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected DetectionServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new DetectionServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Finds defects in one frame. The outcome of the answer is a detection.
     * </pre>
     */
    public void detect(io.uflow.v1.DetectRequest request,
        io.grpc.stub.StreamObserver<io.uflow.v1.DetectResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDetectMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Finds defects in a stream of frames. Each frame is answered exactly once, in the order of the frames. Frames may
     * have different models, sizes and formats. A frame that cannot be used is answered with its error, and the stream
     * continues. The same holds for an answer that is larger than the server's limit for a message: INVALID_ARGUMENT says
     * what to ask for instead. The stream ends when the client has closed its side and the last frame is answered.
     * A request that is larger than the server's limit for a message ends the stream: the server answers the frames before
     * it, then ends with OUT_OF_RANGE. Send the frames after it on a new stream.
     * The response header `uflow-stream-window` gives the number of frames that the stream may have unanswered. A frame
     * within this window waits for room in the server and is never refused. When the server is full, frames beyond the
     * window are answered with RESOURCE_EXHAUSTED. A server can be configured to wait instead: it then reads no frame beyond
     * the window until an answer is sent.
     * Clients have a message limit of their own, 4 MB by default in most libraries. A larger answer ends the stream on
     * the client's side with RESOURCE_EXHAUSTED. A raw mask of 3000×2000 pixels has 6 MB. Ask for PNG or runs, or raise
     * the client's limit (`max_receive_message_length`, `MaxCallRecvMsgSize`, `maxInboundMessageSize`).
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.uflow.v1.DetectRequest> detectStream(
        io.grpc.stub.StreamObserver<io.uflow.v1.DetectResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getDetectStreamMethod(), getCallOptions()), responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service DetectionService.
   * <pre>
   * Finds defects in frames.
   * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
   * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
   * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
   * (the network's numbers are not finite). A stream answers these errors in band and continues.
   * </pre>
   */
  public static final class DetectionServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<DetectionServiceBlockingV2Stub> {
    private DetectionServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected DetectionServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new DetectionServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Finds defects in one frame. The outcome of the answer is a detection.
     * </pre>
     */
    public io.uflow.v1.DetectResponse detect(io.uflow.v1.DetectRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDetectMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Finds defects in a stream of frames. Each frame is answered exactly once, in the order of the frames. Frames may
     * have different models, sizes and formats. A frame that cannot be used is answered with its error, and the stream
     * continues. The same holds for an answer that is larger than the server's limit for a message: INVALID_ARGUMENT says
     * what to ask for instead. The stream ends when the client has closed its side and the last frame is answered.
     * A request that is larger than the server's limit for a message ends the stream: the server answers the frames before
     * it, then ends with OUT_OF_RANGE. Send the frames after it on a new stream.
     * The response header `uflow-stream-window` gives the number of frames that the stream may have unanswered. A frame
     * within this window waits for room in the server and is never refused. When the server is full, frames beyond the
     * window are answered with RESOURCE_EXHAUSTED. A server can be configured to wait instead: it then reads no frame beyond
     * the window until an answer is sent.
     * Clients have a message limit of their own, 4 MB by default in most libraries. A larger answer ends the stream on
     * the client's side with RESOURCE_EXHAUSTED. A raw mask of 3000×2000 pixels has 6 MB. Ask for PNG or runs, or raise
     * the client's limit (`max_receive_message_length`, `MaxCallRecvMsgSize`, `maxInboundMessageSize`).
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.uflow.v1.DetectRequest, io.uflow.v1.DetectResponse>
        detectStream() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getDetectStreamMethod(), getCallOptions());
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service DetectionService.
   * <pre>
   * Finds defects in frames.
   * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
   * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
   * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
   * (the network's numbers are not finite). A stream answers these errors in band and continues.
   * </pre>
   */
  public static final class DetectionServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<DetectionServiceBlockingStub> {
    private DetectionServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected DetectionServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new DetectionServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Finds defects in one frame. The outcome of the answer is a detection.
     * </pre>
     */
    public io.uflow.v1.DetectResponse detect(io.uflow.v1.DetectRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDetectMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service DetectionService.
   * <pre>
   * Finds defects in frames.
   * `Detect` reports errors as gRPC statuses: INVALID_ARGUMENT (the frame or an option is wrong), NOT_FOUND (there is no
   * such model), UNAVAILABLE (the model is being loaded or the server is stopping), RESOURCE_EXHAUSTED (the server is
   * full: try again later), DEADLINE_EXCEEDED (the frame was not done in time; the server stops working on it), INTERNAL
   * (the network's numbers are not finite). A stream answers these errors in band and continues.
   * </pre>
   */
  public static final class DetectionServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<DetectionServiceFutureStub> {
    private DetectionServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected DetectionServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new DetectionServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Finds defects in one frame. The outcome of the answer is a detection.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.uflow.v1.DetectResponse> detect(
        io.uflow.v1.DetectRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDetectMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_DETECT = 0;
  private static final int METHODID_DETECT_STREAM = 1;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_DETECT:
          serviceImpl.detect((io.uflow.v1.DetectRequest) request,
              (io.grpc.stub.StreamObserver<io.uflow.v1.DetectResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_DETECT_STREAM:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.detectStream(
              (io.grpc.stub.StreamObserver<io.uflow.v1.DetectResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getDetectMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.uflow.v1.DetectRequest,
              io.uflow.v1.DetectResponse>(
                service, METHODID_DETECT)))
        .addMethod(
          getDetectStreamMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              io.uflow.v1.DetectRequest,
              io.uflow.v1.DetectResponse>(
                service, METHODID_DETECT_STREAM)))
        .build();
  }

  private static abstract class DetectionServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    DetectionServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.uflow.v1.DetectionProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("DetectionService");
    }
  }

  private static final class DetectionServiceFileDescriptorSupplier
      extends DetectionServiceBaseDescriptorSupplier {
    DetectionServiceFileDescriptorSupplier() {}
  }

  private static final class DetectionServiceMethodDescriptorSupplier
      extends DetectionServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    DetectionServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (DetectionServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new DetectionServiceFileDescriptorSupplier())
              .addMethod(getDetectMethod())
              .addMethod(getDetectStreamMethod())
              .build();
        }
      }
    }
    return result;
  }
}
