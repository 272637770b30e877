/* Stock Java clients on topics that outbox-relay wrote: a consumer, a producer and Kafka Streams.
 *
 *   java Readers.java BOOTSTRAP KEYS TWIN COUNT EVENTS PREFIX STATE
 *
 * Reads the COUNT records of KEYS and sends each key to TWIN, so that the producer chooses a partition; prints a
 * line "record ID PARTITION CHOSEN" for each, and "end". Meanwhile a topology of Streams, with its state in the
 * folder STATE, reads EVENTS and writes PREFIX.seen, .counts and .latest. Ends when its standard input does. */
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;

public final class Readers {
    private static final Duration DEADLINE = Duration.ofSeconds(240); /* the test has a nearer one */

    private record Sent(ConsumerRecord<byte[], byte[]> read, Future<RecordMetadata> choice) { }

    private Readers() { }

    public static void main(String[] args) throws Exception {
        if (args.length != 7) {
            throw new IllegalArgumentException("BOOTSTRAP KEYS TWIN COUNT EVENTS PREFIX STATE");
        }
        try (KafkaStreams streams = new KafkaStreams(topology(args[4], args[5]), settings(args[0], args[5], args[6]))) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            choose(args[0], args[1], args[2], Integer.parseInt(args[3]));
            awaitEnd();
        }
    }

    private static void awaitEnd() throws IOException {
        while (System.in.read() >= 0) {
        }
    }

    private static String id(Headers headers) {
        Header header = headers.lastHeader("outbox-id");
        return header == null ? "none" : new String(header.value(), StandardCharsets.UTF_8);
    }

    /* ---- consumer and producer ---- */

    private static void choose(String bootstrap, String keys, String twin, int count) throws Exception {
        List<Sent> sent = new ArrayList<>();
        Map<String, Object> reading = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed");
        Map<String, Object> writing = Map.of("bootstrap.servers", bootstrap);
        try (KafkaConsumer<byte[], byte[]> consumer =
                     new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer());
             KafkaProducer<byte[], byte[]> producer =
                     new KafkaProducer<>(writing, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(keys).forEach(p -> partitions.add(new TopicPartition(keys, p.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long end = System.nanoTime() + DEADLINE.toNanos();
            while (sent.size() < count || !atEnd(consumer, partitions)) {
                if (System.nanoTime() > end) {
                    throw new IllegalStateException("only " + sent.size() + " records of " + count);
                }
                for (ConsumerRecord<byte[], byte[]> read : consumer.poll(Duration.ofMillis(200))) {
                    sent.add(new Sent(read, producer.send(new ProducerRecord<>(twin, read.key(), null))));
                }
            }
            producer.flush();
        }
        StringBuilder lines = new StringBuilder();
        for (Sent one : sent) {
            lines.append("record ").append(id(one.read.headers())).append(' ').append(one.read.partition())
                 .append(' ').append(one.choice.get(30, TimeUnit.SECONDS).partition()).append('\n');
        }
        System.out.print(lines.append("end\n"));
        System.out.flush();
    }

    private static boolean atEnd(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions) {
        return consumer.endOffsets(partitions).entrySet().stream()
                .allMatch(e -> consumer.position(e.getKey()) >= e.getValue());
    }

    /* ---- Streams ---- */

    private static Properties settings(String bootstrap, String name, String state) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, state);
        /* each change of a table is written, none is summed up */
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        return settings;
    }

    /* The id becomes the key; "=" stands before what is there, "-" for what is not. The headers go on by themselves. */
    private static final class Describe extends ContextualProcessor<String, String, String, String> {
        private static String shown(String text) {
            return text == null ? "-" : "=" + text;
        }

        @Override
        public void process(Record<String, String> record) {
            context().forward(record.withKey(id(record.headers()))
                    .withValue(shown(record.key()) + "\n" + shown(record.value())));
        }
    }

    private static Topology topology(String events, String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        Produced<String, String> texts = Produced.with(Serdes.String(), Serdes.String());
        KStream<String, String> source = builder.stream(events, Consumed.with(Serdes.String(), Serdes.String()));

        source.process(Describe::new).to(prefix + ".seen", texts);
        source.filter((key, value) -> value != null)
              .groupByKey()
              .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")))
              .toStream().mapValues(String::valueOf).to(prefix + ".counts", texts);
        source.toTable(Materialized.<String, String>as(Stores.inMemoryKeyValueStore("latest"))
                      .withKeySerde(Serdes.String()).withValueSerde(Serdes.String()))
              .toStream().to(prefix + ".latest", texts);
        return builder.build();
    }
}
