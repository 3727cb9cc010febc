// Package uflow is a client for the U-Flow server, which finds defects in images.
//
// [Open] makes a [Client]. [Client.Detect] judges one frame; [Client.OpenStream] judges a sequence of frames and is the better choice
// for a camera: a [Stream] keeps several frames on the way, gives the verdicts in the order of the frames, and connects again if
// the server restarts. Requests and answers are the messages of the protocol, in the package uflowpb.
//
// # Errors
//
// Every error of a call is an [*Error] with the gRPC code and the server's message. google.golang.org/grpc/status.Code reads the
// code too, and errors.Is compares with context.Canceled and context.DeadlineExceeded. A frame that the server cannot use does not
// end its stream: [Result] carries the error. If a stream ends early, its [*StreamError] holds every frame without a verdict.
//
// # What is tried again
//
// Detection has no side effects, so a frame can be sent twice. The client repeats a call if the connection is lost or the code is
// UNAVAILABLE (the server stops, or a model is being loaded), RESOURCE_EXHAUSTED (the server is full) or CANCELLED by the server.
// NOT_FOUND is repeated only if the server says that no model is loaded, because a server says so in the first moment after its start.
// Nothing else is repeated. Pauses between tries are random between zero and a limit that doubles with each try ([Backoff]). The
// protocol has no retry hints.
package uflow
