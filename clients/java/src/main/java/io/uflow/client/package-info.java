/**
 * A client for the U-Flow server: single calls and streams of frames that survive outages.
 *
 * <p>Start with {@link io.uflow.client.UFlowClient}. Messages are the generated classes of {@code
 * io.uflow.v1}; {@link io.uflow.client.Frames} makes requests.
 */
package io.uflow.client;
